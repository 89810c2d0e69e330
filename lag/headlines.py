"""The one sentence at the head of each page: is anything wrong, what first, and will it pass? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gdsconsole.text.formats import duration, rate, short_number
from gdsconsole.text.headline import Headline
from gdsconsole.text.names import shown
from lag.models import BrokerFigures, BrokerSample, GroupSample, Status

P99_LIMIT_MS = 100.0
BEHIND = (Status.SLOW, Status.REWOUND, Status.STALLED, Status.STOPPED)
_LOSING = (Status.SLOW, Status.STALLED, Status.STOPPED)
_TONES = {
    Status.OK: "ok",
    Status.EMPTY: "",
    Status.UNKNOWN: "warn",
    Status.SLOW: "warn",
    Status.REWOUND: "warn",
    Status.STALLED: "bad",
    Status.STOPPED: "bad",
}


@dataclass(frozen=True, slots=True)
class CatchUp:
    """When everything has been read, in words; `tone` is bad where that is never."""

    text: str
    tone: str = ""

    @property
    def css(self) -> str:
        """The class of its text."""
        return self.tone if self.tone in ("", "unknown") else f"is-{self.tone}"


def catch_up(
    *, lag: int | None, eta_s: float | None, consumed: float | None, produced: float | None, status: str
) -> CatchUp:
    """Whether and when a group or a partition will have caught up."""
    if lag is None:
        return CatchUp("unknown", "unknown")
    if lag == 0:
        return CatchUp("caught up", "ok")
    if eta_s is not None:
        return CatchUp(f"in {duration(eta_s)}")
    if status == Status.OK:
        # A steady distance behind the end is what a group that reads all the time looks like.
        return CatchUp("keeps up", "ok")
    if consumed is None or produced is None or status not in _LOSING:
        return CatchUp("unknown", "unknown")
    return CatchUp("never at this rate", "bad")


def catch_up_of(sample: GroupSample) -> CatchUp:
    return catch_up(
        lag=sample.total_lag,
        eta_s=sample.eta_s,
        consumed=sample.consumed_per_s,
        produced=sample.produced_per_s,
        status=sample.status,
    )


def is_read(sample: GroupSample) -> bool:
    """Whether the group's partitions are known; where they aren't, its reason is that of an outage."""
    return sample.unknown_partitions is not None


def about_groups(groups: Sequence[GroupSample], *, stale_s: float | None = None) -> Headline:
    """`groups` are all of the newest tick, the worst first; `stale_s` is its age where that is too old."""
    if not groups:
        return Headline("No consumer group has been seen yet.")
    if stale_s is not None:
        return Headline(f"Nobody knows the lag now: it was last read {duration(stale_s)} ago.", "bad")
    unknown = [group for group in groups if group.total_lag is None]
    if len(unknown) == len(groups):
        which = (
            f"The lag of {shown(groups[0].group)}"
            if len(groups) == 1
            else f"The lag of {_all(len(groups))} groups"
        )
        why = f": {_why(unknown[0])}" if any(is_read(group) for group in groups) else ""
        return Headline(f"{which} is unknown{why}.", "bad")
    behind = [group for group in groups if group.status in BEHIND]
    losing = [group for group in groups if group.lost]
    said = []
    if behind:
        said.append(f"{shown(behind[0].group)} {_plight(behind[0])}.")
    if len(behind) > 1:
        said.append(f"{_named(behind[1:])} behind too.")
    if losing:
        said.append(f"Retention deleted {_lost(losing)}, unread by {_who(losing)}.")
    if unknown:
        said.append(f"{_named(unknown)} unknown.")
    if not said:
        return Headline(_all_well(groups), "ok")
    return Headline(" ".join(said), _tone(behind, losing))


def about_group(sample: GroupSample, *, stale_s: float | None = None) -> Headline:
    if stale_s is not None:
        return Headline(f"Its lag now is unknown: it was last seen {duration(stale_s)} ago.", "bad")
    if sample.total_lag is None:
        return Headline(f"Its lag is unknown{f': {_why(sample)}' if is_read(sample) else ''}.", "warn")
    tone = _TONES[Status(sample.status)]
    lost = f" Retention deleted {_lost([sample])} that it never read." if sample.lost else ""
    if sample.status in BEHIND:
        return Headline(f"It {_plight(sample)}.{lost}", "bad" if lost else tone)
    begin = {Status.OK: "It keeps up", Status.EMPTY: "It has no members"}.get(
        Status(sample.status), "Too little was seen of it for a verdict"
    )
    far = f", {_how_far(sample)} behind" if sample.total_lag else " and has read everything"
    return Headline(f"{begin}{far}.{lost}", "bad" if lost else tone)


def about_brokers(sample: BrokerSample | None, *, stale_s: float | None = None) -> Headline:
    if sample is None:
        return Headline("The cluster has not been looked at yet.")
    if stale_s is not None:
        return Headline(
            f"Nobody knows how the cluster is now: it was last read {duration(stale_s)} ago.", "bad"
        )
    if sample.live is None:
        return Headline("The cluster does not answer.", "bad")
    bad = [
        f"{sample.live} of {sample.expected} brokers are up"
        if sample.expected and sample.live < sample.expected
        else "",
        _partitions(sample.leaderless, "has no leader and can't be used", "have no leader and can't be used"),
        _partitions(sample.under_min_isr, "refuses writes with acks=all", "refuse writes with acks=all"),
        _partitions(sample.under_replicated, "misses replicas", "miss replicas"),
    ]
    slow = slowest(sample.brokers)
    is_slow = slow is not None and slow[1] > P99_LIMIT_MS
    if any(bad) or is_slow:
        if is_slow and slow:
            bad.append(f"produce p99 is {_ms(slow[1])} on broker {slow[0]}, over {_ms(P99_LIMIT_MS)}")
        text = "; ".join(part for part in bad if part)
        return Headline(f"{text[0].upper()}{text[1:]}.", "bad" if any(bad[:4]) else "warn")
    if sample.under_replicated is None:
        return Headline(f"{_up(sample.live)}; whether every partition has its replicas is unknown.", "warn")
    speed = f"produce p99 is {_ms(slow[1])} at most" if slow else "request times are unknown"
    return Headline(f"{_up(sample.live)}, every partition has all its replicas, {speed}.", "ok")


def slowest(brokers: Sequence[BrokerFigures]) -> tuple[int, float] | None:
    """The broker with the longest produce p99 now, and that in ms; None where nobody knows one."""
    times = [
        (p99, figures["id"])
        for figures in brokers
        if (p99 := figures["produce_p99_ms"]) is not None and not is_idle(figures)
    ]
    if not times:
        return None
    p99, broker_id = max(times)
    return broker_id, p99


def is_idle(figures: BrokerFigures) -> bool:
    """Whether nobody writes to the broker: its p99 is then of requests long past."""
    return figures["messages_in_per_s"] == 0


def is_slow_now(figures: BrokerFigures) -> bool:
    p99 = figures["produce_p99_ms"]
    return p99 is not None and p99 > P99_LIMIT_MS and not is_idle(figures)


_SAID = {
    Status.SLOW: "loses ground",
    Status.REWOUND: "went back",
    Status.STALLED: "is stalled",
    Status.STOPPED: "has stopped",
}


def _plight(group: GroupSample) -> str:
    """What is wrong, how far behind it is, and where it still reads, whether it will catch up."""
    said = _SAID[Status(group.status)]
    if group.total_lag is None:
        return said
    if group.status == Status.SLOW and group.consumed_per_s is not None and group.produced_per_s is not None:
        losing = group.produced_per_s - group.consumed_per_s
        said += f" by {rate(losing)}" if losing > 0 else ""
    far = f"{said}, {_how_far(group)} behind"
    until = catch_up_of(group)
    if group.status != Status.SLOW or until.tone == "unknown":
        return far
    return f"{far}; it catches up {until.text}" if group.eta_s else f"{far}; at this rate it never catches up"


def _distance(group: GroupSample) -> str:
    return f"{shown(group.group)} by {_how_far(group)}"


def _how_far(group: GroupSample) -> str:
    at_least = "at least " if group.unknown_partitions else ""
    messages = f"{at_least}{short_number(group.total_lag)} message{'' if group.total_lag == 1 else 's'}"
    return messages if group.age_s is None else f"{messages} ({duration(group.age_s)})"


def _named(groups: Sequence[GroupSample]) -> str:
    return f"{shown(groups[0].group)} is" if len(groups) == 1 else f"{len(groups)} groups are"


def _lost(groups: Sequence[GroupSample]) -> str:
    count = sum(group.lost or 0 for group in groups)
    return f"{short_number(count)} message{'' if count == 1 else 's'}"


def _who(groups: Sequence[GroupSample]) -> str:
    return shown(groups[0].group) if len(groups) == 1 else f"{len(groups)} groups"


def _why(group: GroupSample) -> str:
    return group.reason.rstrip(".") or "nobody answered"


def _tone(behind: Sequence[GroupSample], losing: Sequence[GroupSample]) -> str:
    return "bad" if losing or any(_TONES[Status(group.status)] == "bad" for group in behind) else "warn"


def _all_well(groups: Sequence[GroupSample]) -> str:
    empty = sum(1 for group in groups if group.status == Status.EMPTY)
    reading = len(groups) - empty
    furthest = max(groups, key=lambda group: group.total_lag or 0)
    if not reading:
        far = f"the furthest behind is {_distance(furthest)}" if furthest.total_lag else "all has been read"
        return f"No group has members; {far}."
    if reading == 1 and not empty:
        far = f"keeps up, {_how_far(furthest)} behind" if furthest.total_lag else "has read everything"
        return f"{shown(furthest.group)} {far}."
    who = (
        f"{_all(reading).capitalize()} groups"
        if not empty
        else f"{reading} group{'' if reading == 1 else 's'}"
    )
    if not furthest.total_lag:
        said = f"{who} ha{'s' if reading == 1 else 've'} read everything"
    else:
        said = f"{who} keep{'s' if reading == 1 else ''} up; furthest behind is {_distance(furthest)}"
    return f"{said}; {empty} without members." if empty else f"{said}."


def _all(count: int) -> str:
    return "both" if count == 2 else f"all {count}"


def _up(count: int) -> str:
    return "The one broker is up" if count == 1 else f"{_all(count).capitalize()} brokers are up"


def _partitions(count: int | None, one: str, many: str) -> str:
    if not count:
        return ""
    return f"1 partition {one}" if count == 1 else f"{count:,} partitions {many}"


def _ms(value: float) -> str:
    return duration(value / 1000)

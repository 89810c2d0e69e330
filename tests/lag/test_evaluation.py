"""Histories and the verdicts they must have: the evaluator's correctness proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from lag.evaluation import GroupStatus, Point, judge_group, judge_partition
from lag.group_readings import GroupReading, PartitionReading
from lag.models import Method, Status

# One tick of the sampler.
TICK_S = 5.0
TOPIC_ID = "topic-1"


def reading(committed: int | None, end: int | None, **changes: object) -> PartitionReading:
    lag = None if committed is None or end is None else end - committed
    fields: dict[str, object] = {
        "topic": "gds.metrics.production",
        "topic_id": TOPIC_ID,
        "partition": 0,
        "committed": committed,
        "end": end,
        "log_start": 0,
        "lag": lag,
        "lost": 0,
        "is_assigned": True,
    }
    return PartitionReading(**fields | changes)  # type: ignore[arg-type]


def points(pairs: Sequence[tuple[int, int]], every_s: float = TICK_S) -> list[Point]:
    """(committed, end), oldest first, the newest at 0 s."""
    return [
        Point(-every_s * (len(pairs) - 1 - n), committed, end, end - committed)
        for n, (committed, end) in enumerate(pairs)
    ]


@dataclass(frozen=True)
class Case:
    """A history of (committed, end) by ticks, and the verdict at its newest."""

    name: str
    history: Sequence[tuple[int, int]]
    status: Status
    members: int | None = 1
    every_s: float = TICK_S
    reason: str = ""


def steady(
    ticks: int, *, consumed: int, produced: int, behind: int, start: int = 1_000
) -> list[tuple[int, int]]:
    """So many messages consumed and produced each tick, `behind` at first."""
    return [(start + n * consumed, start + behind + n * produced) for n in range(ticks)]


def with_pauses(history: Iterable[tuple[int, int]], every: int) -> list[tuple[int, int]]:
    """Commits that come once in so many ticks."""
    kept: list[tuple[int, int]] = []
    for n, (committed, end) in enumerate(history):
        kept.append((committed if n % every == 0 or not kept else kept[-1][0], end))
    return kept


def dipping(history: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same, but for 900 more read at the third newest tick, and written at the next."""
    return [
        (committed + 900 * (n >= len(history) - 3), end + 900 * (n >= len(history) - 2))
        for n, (committed, end) in enumerate(history)
    ]


CASES = [
    # Nothing to read.
    Case("caught up", [(100, 100)] * 10, Status.OK),
    Case("caught up, seen once", [(100, 100)], Status.OK),
    Case("caught up with nobody there", [(100, 100)] * 10, Status.EMPTY, members=0),
    Case("caught up by hand-assigned readers", [(95, 95)] * 9 + [(100, 100)], Status.OK, members=0),
    # Behind by less than anybody would call late.
    Case("one message waits since a tick", [(100, 100)] * 9 + [(100, 101)], Status.OK),
    Case(
        "a quick group between two commits",
        steady(40, consumed=5_000, produced=5_000, behind=4_000),
        Status.OK,
    ),
    Case(
        "commits once in 20 s",
        with_pauses(steady(40, consumed=100, produced=100, behind=0), every=4),
        Status.OK,
    ),
    # Nobody moves.
    Case(
        "stalled: members, and no commit for a minute",
        [(100, 200 + n) for n in range(13)],
        Status.STALLED,
        reason="112 behind, no commit for 60 s",
    ),
    Case("one unread message, for a minute", [(100, 101)] * 13, Status.STALLED),
    Case("no commit for 55 s is not stalled yet", [(100, 200 + n) for n in range(12)], Status.SLOW),
    Case(
        "stopped: nobody there for 30 s",
        [(100, 150)] * 7,
        Status.STOPPED,
        members=0,
        reason="50 behind, no commit for 30 s: the group has no members",
    ),
    Case("a restart of 20 s is no stop", [(90, 100)] * 6 + [(100, 100)], Status.OK, members=0),
    Case("idle for an hour, then a message", [(100, 100)] * 30 + [(100, 101)], Status.OK),
    Case("idle, then unread for 35 s", [(100, 100)] * 20 + [(100, 101)] * 8, Status.SLOW),
    # It moves, and doesn't get there.
    Case("falls further behind", steady(36, consumed=50, produced=100, behind=1_000), Status.SLOW),
    Case(
        "keeps a distance of 200,000", steady(36, consumed=1_000, produced=1_000, behind=200_000), Status.SLOW
    ),
    Case("one dip clears nothing", dipping(steady(36, consumed=50, produced=100, behind=1_000)), Status.SLOW),
    Case("catches up in minutes", steady(36, consumed=1_000, produced=100, behind=100_000), Status.OK),
    Case("would need a day", steady(36, consumed=101, produced=100, behind=100_000), Status.SLOW),
    Case(
        "a burst is being worked off",
        [(1_000, 1_000)] * 20 + [(1_000 + 500 * n, 101_000) for n in range(1, 10)],
        Status.OK,
        reason="95,500 behind, catching up",
    ),
    # It went back.
    Case(
        "rewound",
        [(5_000, 5_000)] * 5 + [(1_000, 5_000)] * 2,
        Status.REWOUND,
        reason="the commit went back from 5,000 to 1,000",
    ),
    Case("rewound, and on its way", [(5_000, 5_000)] * 5 + [(1_000, 5_000), (2_000, 5_000)], Status.REWOUND),
    Case("rewound, and there again", [(5_000, 5_000)] * 5 + [(1_000, 5_000), (5_000, 5_000)], Status.OK),
    Case("rewound longer ago than is looked at", [(5_000, 5_000)] + [(1_000, 5_000)] * 38, Status.STALLED),
    # Too little history says that it is too little, and is no reason to be content.
    Case(
        "seen once, behind",
        [(100, 200)],
        Status.UNKNOWN,
        reason="100 behind, watched for 0 of 30 s",
    ),
    Case("watched for 25 s", [(100, 200)] * 6, Status.UNKNOWN),
    # Time counts, not samples.
    Case("a slower sampler says the same", [(100, 200)] * 3, Status.STALLED, every_s=30.0),
    Case("a quicker one too", [(100, 200)] * 61, Status.STALLED, every_s=1.0),
    Case("many samples in little time", [(100, 200)] * 20, Status.UNKNOWN, every_s=1.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdicts(case: Case) -> None:
    *earlier, now = points(case.history, case.every_s)
    part = reading(now.committed, now.end)
    verdict = judge_partition(part, earlier, case.members, at=0.0)
    assert verdict.status == case.status, verdict.reason
    if case.reason:
        assert verdict.reason == case.reason


def test_a_partition_that_no_member_has_is_stopped() -> None:
    *earlier, now = points([(100, 200)] * 8)
    left = reading(now.committed, now.end, is_assigned=False)
    verdict = judge_partition(left, earlier, 3, at=0.0)
    assert verdict.status == Status.STOPPED
    assert verdict.reason.endswith("no member reads this partition")
    # While a group rebalances nobody knows who has what.
    moving = reading(now.committed, now.end, is_assigned=None)
    assert judge_partition(moving, earlier, 3, at=0.0).status == Status.SLOW


def test_a_young_record_at_the_commit_is_no_delay_however_short_the_history() -> None:
    young = reading(100, 200, age_s=2.0, method=Method.RECORD)
    assert judge_partition(young, (), 1, at=0.0).status == Status.OK
    old = reading(100, 200, age_s=31.0, method=Method.RECORD)
    assert judge_partition(old, (), 1, at=0.0).status == Status.UNKNOWN


def test_a_record_that_claims_to_be_old_makes_nobody_late() -> None:
    """A producer that writes last year's events now: the log says when they came."""
    *earlier, now = points(steady(40, consumed=10, produced=10, behind=10))
    backdated = reading(now.committed, now.end, age_s=31_536_000.0, method=Method.RECORD)
    assert judge_partition(backdated, earlier, 1, at=0.0).status == Status.OK


def test_a_tail_of_markers_is_not_late_when_records_follow() -> None:
    """The log ended in a marker that nobody reads; then, a tick ago, two records came."""
    earlier = [Point(-5.0 * n, committed=3, end=4, lag=0) for n in range(20, 0, -1)]
    assert judge_partition(reading(3, 6), earlier, 1, at=0.0).status == Status.OK
    naive = [Point(-5.0 * n, committed=3, end=4, lag=1) for n in range(20, 0, -1)]
    assert judge_partition(reading(3, 6), naive, 1, at=0.0).status == Status.STALLED


def test_age_is_interpolated_between_samples_and_never_beyond_them() -> None:
    *earlier, now = points([(0, 0), (0, 100), (50, 200)])
    verdict = judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0)
    # The log passed 50 halfway between the samples at -10 s and -5 s.
    assert (verdict.age_s, verdict.method) == (7.5, Method.INTERPOLATED)
    *earlier, now = points([(10, 100), (10, 200)])
    verdict = judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0)
    assert (verdict.age_s, verdict.method) == (None, None)


def test_the_age_of_a_record_is_better_than_an_interpolated_one() -> None:
    *earlier, now = points([(0, 0), (0, 100), (50, 200)])
    read = reading(now.committed, now.end, age_s=6.25, method=Method.RECORD)
    verdict = judge_partition(read, earlier, 1, at=0.0)
    assert (verdict.age_s, verdict.method) == (6.25, Method.RECORD)


def test_rates_are_of_the_last_half_minute() -> None:
    slow = steady(20, consumed=0, produced=0, behind=0)
    quick = [(1_000 + 50 * n, 1_000 + 100 * n) for n in range(1, 8)]
    *earlier, now = points([*slow, *quick])
    verdict = judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0)
    assert (verdict.consumed_per_s, verdict.produced_per_s) == (10.0, 20.0)


def test_rates_are_unknown_at_first_and_after_going_back() -> None:
    verdict = judge_partition(reading(10, 20), (), 1, at=0.0)
    assert (verdict.consumed_per_s, verdict.produced_per_s) == (None, None)
    *earlier, now = points([(100, 200), (50, 250)])
    verdict = judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0)
    assert (verdict.consumed_per_s, verdict.produced_per_s) == (None, 10.0)


def test_the_time_to_catch_up() -> None:
    *earlier, now = points(steady(36, consumed=1_000, produced=500, behind=100_000))
    verdict = judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0)
    assert verdict.eta_s == pytest.approx((100_000 - 35 * 500) / 100)
    *earlier, now = points(steady(36, consumed=100, produced=500, behind=100_000))
    assert judge_partition(reading(now.committed, now.end), earlier, 1, at=0.0).eta_s is None


def group(*parts: PartitionReading, members: int | None = 1, error: str | None = None) -> GroupReading:
    return GroupReading("gds-tests", "Stable", members, parts, error)


def judged(found: GroupReading, **history: Sequence[Point]) -> GroupStatus:
    """`p0=...` is the history of partition 0."""
    return judge_group(found, {(TOPIC_ID, int(name[1:])): past for name, past in history.items()}, at=0.0)


def test_a_group_is_as_bad_as_its_worst_partition() -> None:
    stands = points([(100, 200)] * 13)[:-1]
    verdict = judged(group(reading(100, 100), reading(100, 200, partition=1)), p1=stands)
    assert verdict.status == Status.STALLED
    assert verdict.reason == "gds.metrics.production-1: 100 behind, no commit for 60 s"
    assert (verdict.total_lag, verdict.unknown_partitions, verdict.lost) == (100, 0, 0)


def test_of_several_bad_partitions_the_furthest_behind_is_named() -> None:
    one, other = points([(100, 200)] * 13)[:-1], points([(100, 900)] * 13)[:-1]
    verdict = judged(group(reading(100, 200), reading(100, 900, partition=1)), p0=one, p1=other)
    assert verdict.reason == ("gds.metrics.production-1: 800 behind, no commit for 60 s (and 1 more like it)")


def test_what_is_unknown_is_counted_and_never_added_as_zero() -> None:
    unread = reading(100, None, reason="no answer", lost=None)
    verdict = judged(group(reading(100, 107, age_s=1.0, method=Method.RECORD), unread))
    assert (verdict.total_lag, verdict.unknown_partitions) == (7, 1)
    assert verdict.status == Status.UNKNOWN
    assert verdict.reason == "gds.metrics.production-0: no answer"
    verdict = judged(group(unread))
    assert (verdict.total_lag, verdict.unknown_partitions, verdict.lost, verdict.age_s) == (
        None,
        1,
        None,
        None,
    )


def test_known_trouble_is_worse_than_not_knowing() -> None:
    stands = points([(100, 200)] * 13)[:-1]
    verdict = judged(group(reading(None, None, partition=1), reading(100, 200)), p0=stands)
    assert verdict.status == Status.STALLED


def test_a_group_that_could_not_be_read_is_unknown_in_everything() -> None:
    verdict = judged(group(error="the coordinator is moving"))
    assert verdict.status == Status.UNKNOWN
    assert verdict.reason == "the coordinator is moving"
    assert (verdict.total_lag, verdict.unknown_partitions, verdict.lost, verdict.age_s) == (
        None,
        None,
        None,
        None,
    )


def test_a_group_without_partitions() -> None:
    gone = judged(group(members=0))
    assert (gone.status, gone.total_lag) == (Status.EMPTY, 0)
    joining = judged(group(members=2))
    assert (joining.status, joining.total_lag) == (Status.UNKNOWN, None)
    unread = judged(group(members=None))
    assert (unread.status, unread.total_lag) == (Status.UNKNOWN, None)


def test_an_empty_partition_needs_no_commit() -> None:
    verdict = judged(group(reading(None, 0, lag=0), reading(100, 100, partition=1)))
    assert (verdict.status, verdict.total_lag, verdict.unknown_partitions) == (Status.OK, 0, 0)


def test_a_topic_made_anew_has_no_history() -> None:
    """Under the old topic's history this would be a rewind from 5,000."""
    old = points([(5_000, 5_000)] * 13)[:-1]
    anew = reading(10, 12, topic_id="topic-2", age_s=1.0, method=Method.RECORD)
    assert judged(group(anew), p0=old).status == Status.OK
    same = reading(10, 12, age_s=1.0, method=Method.RECORD)
    assert judged(group(same), p0=old).status == Status.REWOUND


def test_the_group_is_caught_up_when_its_last_partition_is() -> None:
    quick = points(steady(36, consumed=1_000, produced=500, behind=100_000))
    slow = points(steady(36, consumed=700, produced=500, behind=100_000))
    parts = (
        reading(quick[-1].committed, quick[-1].end),
        reading(slow[-1].committed, slow[-1].end, partition=1),
    )
    verdict = judged(group(*parts), p0=quick[:-1], p1=slow[:-1])
    assert verdict.eta_s == pytest.approx((100_000 - 35 * 200) / 40)
    never = points(steady(36, consumed=100, produced=500, behind=100_000))
    parts = (parts[0], reading(never[-1].committed, never[-1].end, partition=1))
    assert judged(group(*parts), p0=quick[:-1], p1=never[:-1]).eta_s is None

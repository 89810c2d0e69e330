"""The streaming guide's topic checklist, applied to one topic. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gdsconsole.kafka.cluster.topic_properties import lasts_for_ever
from topics.definitions.plan import MIN_ISR, Layout

FEWEST_REPLICAS = 3
FEWEST_IN_SYNC = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One point of the list; `passed` is None where the cluster could not be asked."""

    name: str
    passed: bool | None
    detail: str


def check_topic(
    *,
    live: Layout | None,
    exists: bool | None,
    brokers: int,
    dead_letters: Layout | None,
    wants_dead_letters: bool,
) -> list[Check]:
    """Check a topic as it is. `exists` is None when nobody knows.

    `wants_dead_letters` is true for a topic that pipelines read; `dead_letters` is the topic its dead
    letters go to, None where there is none.
    """
    if live is None:
        detail = "the cluster could not be read" if exists is None else "not on the cluster"
        return [Check("exists", None if exists is None else False, detail)]
    checks = [
        Check("exists", True, "on the cluster"),
        _partitions(live, brokers),
        _replicas(live),
        _in_sync(live),
        _retention(live),
        _compression(live),
    ]
    if wants_dead_letters:
        checks.append(_dead_letters(live, dead_letters))
    return checks


def _partitions(live: Layout, brokers: int) -> Check:
    count = live.partitions
    plural = "" if count == 1 else "s"
    return Check(
        "partition count",
        count >= brokers,
        f"{count} partition{plural} over {brokers} broker{'s' if brokers != 1 else ''}"
        + ("" if count >= brokers else ": some brokers hold none"),
    )


def _replicas(live: Layout) -> Check:
    return Check(
        "replication.factor >= 3",
        live.replication_factor >= FEWEST_REPLICAS,
        f"replication factor {live.replication_factor}",
    )


def _in_sync(live: Layout) -> Check:
    asked = int(live.config.get(MIN_ISR, "1"))
    spare = live.replication_factor - asked
    detail = f"{MIN_ISR} {asked} of {live.replication_factor}"
    if asked >= FEWEST_IN_SYNC and spare < 1:
        return Check(f"{MIN_ISR} >= 2", False, f"{detail}: one broker down stops all writes")
    return Check(f"{MIN_ISR} >= 2", asked >= FEWEST_IN_SYNC, detail)


def _retention(live: Layout) -> Check:
    kept = int(live.config.get("retention.ms", "-1"))
    if "delete" not in live.config.get("cleanup.policy", "delete"):
        return Check("retention configured", True, "compacted: the newest record of each key is kept")
    if lasts_for_ever(kept):
        by_size = int(live.config.get("retention.bytes", "-1"))
        is_bounded = by_size > 0 and not lasts_for_ever(by_size)
        return Check(
            "retention configured",
            is_bounded,
            f"kept up to {by_size} bytes a partition" if is_bounded else "records are kept for ever",
        )
    return Check("retention configured", True, f"retention.ms {kept}")


def _compression(live: Layout) -> Check:
    kind = live.config.get("compression.type", "producer")
    return Check("compression enabled", kind != "uncompressed", f"compression.type {kind}")


def _dead_letters(live: Layout, dead_letters: Layout | None) -> Check:
    name = "dead letters kept as long"
    if dead_letters is None:
        return Check(name, False, "the topic for its dead letters is not on the cluster")
    own, theirs = (int(layout.config.get("retention.ms", "-1")) for layout in (live, dead_letters))
    kept = lasts_for_ever(theirs) or 0 <= own <= theirs
    return Check(name, kept, f"retention.ms {theirs} for dead letters, {own} for the topic")

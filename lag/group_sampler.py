"""One reading of every consumer group, in the order that keeps it true.

Commits are read first and log ends after, so no end is older than a commit and a lag can't be
negative. A partition's lag is

    max(0, end - max(committed, log start))

where `end` is the last stable offset, which is as far as a read_committed consumer can get; a group
that has committed past it reads uncommitted, and is measured by the high watermark. What can't be
known is None with its reason: no commit, a leader that doesn't answer, a commit beyond the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from gdsconsole.kafka.browsing.record_times import Position, RecordTimes
from gdsconsole.kafka.cluster.groups import (
    UNKNOWN_STATE,
    Coordinates,
    Group,
    ListedGroup,
    LogRange,
    list_groups,
    read_groups,
    read_log_ranges,
)
from gdsconsole.kafka.cluster.metadata import Cluster, read_cluster, read_topic_ids
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.text.names import bounded
from lag.group_readings import (
    GroupReading,
    GroupsSnapshot,
    PartitionReading,
    TopicEnd,
    aged,
    measure,
    measure_unread,
)
from lag.models import MAX_GROUP_NAME

# Each request to the cluster, and all of them together: a tick is 5 s, and a dead broker may cost each
# request its whole time.
REQUEST_S = 2.0
TOTAL_S = 8.0
# Records read to know their age: a batch of one from each partition takes about 0.1 s. A broker sends the
# whole batch a record is in, some 70 kB, so there is a bound to them too.
AGES_BUDGET_S = 0.6
MOST_AGES = 200
# Topics that no group reads are measured for their rates alone, while there are not too many.
MOST_RATE_PARTITIONS = 5_000
# In place of the id of a topic that could not be read: it has no history.
UNREAD_ID = ""


def take_snapshot(
    settings: ClientSettings,
    *,
    times: RecordTimes,
    wanted: Callable[[str], bool] = lambda group: True,
    known: Collection[str] = (),
    rated_topics: Collection[str] | None = None,
    clock: Callable[[], float] = time.time,
) -> GroupsSnapshot:
    """Read every wanted group and the ends of the topics they read; where `rated_topics` are given, the
    ends of those and of others too.

    `known` are groups that existed before. While a coordinator moves, the brokers list its groups nowhere
    and say nothing of it: one of `known` that isn't listed is asked for by its name, and read as unknown
    unless its coordinator says that there is no such group.

    Raises `KafkaUnavailable` when no broker answered.
    """
    deadline = time.monotonic() + TOTAL_S

    def timeout_s() -> float:
        return max(0.5, min(REQUEST_S, deadline - time.monotonic()))

    cluster = read_cluster(settings, timeout_s=timeout_s())
    listing = list_groups(settings, timeout_s=timeout_s())
    listed = [group for group in listing.groups if wanted(group.group)]
    unlisted = sorted(set(known) - {group.group for group in listing.groups})
    names = [group.group for group in listed] + unlisted
    read = read_groups(settings, names, timeout_s=timeout_s())
    parts = {group.group: partitions_of(group, read[group.group], cluster) for group in listed}
    needed = {part for chosen in parts.values() for part in chosen}
    rated = set() if rated_topics is None else _rated(cluster, rated_topics, already=needed)
    topics = {topic for topic, _ in needed | rated}
    ids, unread = read_topic_ids(settings, topics, timeout_s=timeout_s())
    ranges = read_log_ranges(settings, sorted(needed | rated), timeout_s=timeout_s())
    at = clock()
    ranges |= {part: LogRange(None, None, None, unread[part[0]]) for part in needed if part[0] in unread}
    ids |= dict.fromkeys(unread, UNREAD_ID)
    groups = [_group_reading(group, read[group.group], parts[group.group], ranges, ids) for group in listed]
    return GroupsSnapshot(
        at=at,
        cluster_id=cluster.cluster_id,
        groups=(*_with_ages(groups, ranges, times, at), *_moving(read[name] for name in unlisted)),
        topics=_topic_ends(cluster, topics - unread.keys(), ranges, ids),
        incomplete=listing.incomplete,
    )


def _moving(unlisted: Iterable[Group]) -> Iterator[GroupReading]:
    """Of groups that no broker listed, those that may exist all the same."""
    for group in unlisted:
        if group.committed is None:
            reason = group.error or "its coordinator gave no answer"
        elif group.committed or group.members:
            reason = "its coordinator is moving to another broker"
        else:
            continue
        yield GroupReading(group.group, group.state, members=None, partitions=(), error=reason)


def partitions_of(listed: ListedGroup, group: Group, cluster: Cluster) -> list[Coordinates]:
    """The partitions that a group is measured on, of those that still exist.

    A group reads all partitions of a topic, so one without a commit counts too. A group whose members
    assign partitions by hand may read a part of a topic: there only what it committed counts.
    """
    committed = set(group.committed or ())
    assigned = {part for member in group.members or () for part in member.assigned}
    existing = {
        (part.topic, part.partition)
        for topic, _ in committed | assigned
        for part in cluster.topics.get(topic, ())
    }
    if group.committed is None:
        return []
    return sorted(committed & existing if listed.is_simple else existing)


def _group_reading(
    listed: ListedGroup,
    group: Group,
    parts: Sequence[Coordinates],
    ranges: Mapping[Coordinates, LogRange],
    ids: Mapping[str, str],
) -> GroupReading:
    is_settled = group.state == "Stable" and group.members is not None
    assigned = {part for member in group.members or () for part in member.assigned}
    readings = []
    for topic, partition in parts:
        log = ranges.get((topic, partition))
        if log is None or topic not in ids:
            continue  # deleted meanwhile
        committed = (group.committed or {}).get((topic, partition))
        of_topic = group.topic_ids.get((topic, partition))
        if committed is not None and of_topic is not None and ids[topic] not in (of_topic, UNREAD_ID):
            end, lag, lost, reason = measure_unread(committed, log)
            committed = None
        else:
            end, lag, lost, reason = measure(committed, log)
        readings.append(
            PartitionReading(
                topic=topic,
                topic_id=ids[topic],
                partition=partition,
                committed=committed,
                end=end,
                log_start=log.log_start,
                lag=lag,
                lost=lost,
                is_assigned=(topic, partition) in assigned if is_settled else None,
                reason=reason,
                is_own=of_topic == ids[topic],
            )
        )
    return GroupReading(
        group=bounded(group.group, MAX_GROUP_NAME),
        state=group.state if group.state != UNKNOWN_STATE else listed.state,
        members=None if group.members is None else len(group.members),
        partitions=tuple(readings),
        error=(group.error or "the commits couldn't be read") if group.committed is None else None,
    )


def _with_ages(
    groups: Sequence[GroupReading],
    ranges: Mapping[Coordinates, LogRange],
    times: RecordTimes,
    at: float,
) -> Iterable[GroupReading]:
    """The same readings, each with the age of its oldest unread record where that could be read."""
    positions = {
        (group.group, part.topic, part.partition): position
        for group in groups
        for part in group.partitions
        if (position := _position(part, ranges[part.topic, part.partition])) is not None
    }
    ordered = _most_telling_first(groups, positions)
    found = times.read(ordered, budget_s=AGES_BUDGET_S, most=MOST_AGES)
    for group in groups:
        yield replace(
            group,
            partitions=tuple(
                aged(part, found.get(positions[group.group, part.topic, part.partition]), at)
                if (group.group, part.topic, part.partition) in positions
                else aged(part, None, at)
                for part in group.partitions
            ),
        )


def _position(part: PartitionReading, log: LogRange) -> Position | None:
    """Where the oldest unread record is; None where there is none, or none that can be read."""
    if not part.lag or part.committed is None or part.end is None or part.log_start is None:
        return None
    if part.end != log.stable_end:
        return None  # past the last stable offset; the reader of times would wait for it
    offset = max(part.committed, part.log_start)
    return Position(part.topic, part.topic_id, part.partition, offset, part.end)


def _most_telling_first(
    groups: Sequence[GroupReading], positions: Mapping[tuple[str, str, int], Position]
) -> list[Position]:
    """Each group's furthest behind, then the others from the smallest lag on, which may be markers."""
    by_group: dict[str, list[Position]] = {group.group: [] for group in groups}
    for (group, _, _), position in positions.items():
        by_group[group].append(position)
    furthest = [max(chosen, key=_distance) for chosen in by_group.values() if chosen]
    first = dict.fromkeys(furthest)
    return [*first, *(one for one in sorted(positions.values(), key=_distance) if one not in first)]


def _distance(position: Position) -> int:
    return position.end - position.offset


def _rated(
    cluster: Cluster, rated_topics: Collection[str], already: Collection[Coordinates]
) -> set[Coordinates]:
    """Partitions whose ends are read for the topics' rates: of `rated_topics`, of the topics that groups
    read, and of others while there are not too many."""
    read_by_groups = {topic for topic, _ in already}
    names = [name for name in cluster.topics if not name.startswith("__")]
    names.sort(key=lambda name: name not in read_by_groups and name not in rated_topics)
    chosen: set[Coordinates] = set()
    for name in names:
        parts = cluster.topics[name]
        is_needed = name in read_by_groups or name in rated_topics
        if not is_needed and len(chosen) + len(parts) > MOST_RATE_PARTITIONS:
            break
        chosen.update((name, part.partition) for part in parts)
    return chosen


def _topic_ends(
    cluster: Cluster,
    topics: Iterable[str],
    ranges: Mapping[Coordinates, LogRange],
    ids: Mapping[str, str],
) -> dict[str, TopicEnd]:
    ends = {}
    for topic in topics:
        if topic not in ids or topic not in cluster.topics:
            continue
        found = [ranges.get((topic, part.partition)) for part in cluster.topics[topic]]
        highs = [log.high_watermark if log is not None else None for log in found]
        known = [high for high in highs if high is not None]
        ends[topic] = TopicEnd(ids[topic], sum(known) if len(known) == len(highs) else None)
    return ends

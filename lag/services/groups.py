"""Stores what was sampled of consumer groups, judges it by the lag rules, and tells open pages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DataError

from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.kafka.cluster.groups import UNKNOWN_STATE
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.live.publish import publish
from gdsconsole.live.snapshots import latest
from lag.evaluation import GroupStatus, judge_group, unread
from lag.group_readings import GroupReading, GroupsSnapshot, PartitionReading, TopicEnd
from lag.group_sampler import take_snapshot
from lag.models import MAX_REASON, GroupSample, PartitionSample, Status
from lag.sample_window import SampleWindow
from topics.alerting.services import Measurement, record_measurements, resolve_series
from topics.models import Alert, Source, TopicDefinition

logger = logging.getLogger(__name__)

# A rate over more than this says nothing of now.
LONGEST_RATE_S = 60.0
SHORTEST_RATE_S = 0.5
GONE_AFTER = timedelta(seconds=30)


def read_lag(
    *,
    settings: ClientSettings,
    times: RecordTimes,
    history: SampleWindow,
    now: datetime,
    group: str | None = None,
    known: Collection[str] = (),
    rated_topics: Collection[str] | None = None,
) -> tuple[GroupsSnapshot, list[GroupSample]]:
    """One reading of all groups, or of one, judged by the stored history; nothing is written.

    `known` and `rated_topics` as in `take_snapshot`. Raises `KafkaUnavailable`.
    """
    snapshot = take_snapshot(
        settings,
        times=times,
        wanted=lambda name: group is None or name == group,
        known=known,
        rated_topics=rated_topics,
    )
    history.refresh(now=now)
    return snapshot, [_judged(reading, history, snapshot.at) for reading in snapshot.groups]


def sample_groups(
    *, settings: ClientSettings, times: RecordTimes, history: SampleWindow, now: datetime
) -> list[GroupSample]:
    """Take one sample of every group; while Kafka doesn't answer, one that says so of each known group."""
    known = set(GroupSample.objects.newest().values_list("group", flat=True))
    try:
        snapshot, rows = read_lag(
            settings=settings,
            times=times,
            history=history,
            now=now,
            known=known,
            rated_topics=_declared_topics(),
        )
    except KafkaUnavailable as error:
        rows = [_unknown_row(group, str(error), now) for group in sorted(known)]
        _store(rows, measured=[], now=now)
        return rows
    if snapshot.incomplete is not None:
        missing = known - {row.group for row in rows}
        rows += [_unknown_row(group, snapshot.incomplete, _moment(snapshot.at)) for group in sorted(missing)]
    _store(rows, measured=snapshot.groups, now=now)
    if snapshot.incomplete is None:
        _resolve_deleted({row.group for row in rows}, now=now)
    _publish_rates(snapshot)
    return rows


def topic_rate(before: Mapping[str, Any] | None, end: TopicEnd, at: float) -> float | None:
    """Messages a second since the sample before; None without one, or across a topic made anew. Pure."""
    if before is None or end.end_total is None or before.get("topic_id") != end.topic_id:
        return None
    end_before, sampled_at = before.get("end_total"), before.get("sampled_at")
    if end_before is None or sampled_at is None:
        return None
    seconds = at - sampled_at
    grown = end.end_total - end_before
    if not SHORTEST_RATE_S <= seconds <= LONGEST_RATE_S or grown < 0:
        return None
    return float(grown / seconds)


def measured_lag(reading: GroupReading, sample: GroupSample) -> float | None:
    """What lag rules judge. Pure.

    While a partition's leader doesn't answer the sum would be too small and resolve alerts, so it is
    unknown. A partition without a commit isn't: it may stay so for good.
    """
    if any(part.end is None for part in reading.partitions):
        return None
    return sample.total_lag


def as_data(sample: GroupSample) -> dict[str, Any]:
    """A sample without its partitions, as it is published and printed."""
    return {
        "group": sample.group,
        "state": sample.state,
        "status": str(sample.status),
        "reason": sample.reason,
        "members": sample.members,
        "total_lag": sample.total_lag,
        "unknown_partitions": sample.unknown_partitions,
        "lost": sample.lost,
        "age_s": sample.age_s,
        "consumed_per_s": sample.consumed_per_s,
        "produced_per_s": sample.produced_per_s,
        "eta_s": sample.eta_s,
    }


def _declared_topics() -> list[str]:
    return list(TopicDefinition.objects.filter(enabled=True).values_list("name", flat=True))


def _moment(at: float) -> datetime:
    """The time that all rows of a snapshot share."""
    return datetime.fromtimestamp(at, UTC)


def _judged(reading: GroupReading, history: SampleWindow, at: float) -> GroupSample:
    """The group's row; one that says so where the verdict fails, which must not take the others' along."""
    try:
        reading = history.told_apart(reading)
        return _row(reading, judge_group(reading, history.of(reading.group), at=at), at)
    except Exception:
        logger.exception("no verdict on the consumer group %r", reading.group)
        return _unknown_row(reading.group, "its reading could not be judged", _moment(at))


def _row(reading: GroupReading, verdict: GroupStatus, at: float) -> GroupSample:
    return GroupSample(
        group=reading.group,
        sampled_at=_moment(at),
        state=reading.state,
        status=verdict.status,
        reason=verdict.reason[:MAX_REASON],
        members=reading.members,
        total_lag=verdict.total_lag,
        unknown_partitions=verdict.unknown_partitions,
        lost=verdict.lost,
        age_s=_rounded(verdict.age_s),
        consumed_per_s=_rounded(verdict.consumed_per_s),
        produced_per_s=_rounded(verdict.produced_per_s),
        eta_s=_rounded(verdict.eta_s),
        partitions=_partition_rows(reading.partitions, verdict),
    )


def _partition_rows(parts: Sequence[PartitionReading], verdict: GroupStatus) -> list[PartitionSample]:
    return [
        PartitionSample(
            topic=part.topic,
            topic_id=part.topic_id,
            partition=part.partition,
            committed=part.committed,
            end=part.end,
            log_start=part.log_start,
            lag=part.lag,
            lost=part.lost,
            age_s=_rounded(judged.age_s),
            method=None if judged.method is None else judged.method.value,
            consumed_per_s=_rounded(judged.consumed_per_s),
            produced_per_s=_rounded(judged.produced_per_s),
            eta_s=_rounded(judged.eta_s),
            status=judged.status.value,
            reason=judged.reason,
        )
        for part, judged in zip(parts, verdict.partitions, strict=True)
    ]


def _unknown_row(group: str, reason: str, at: datetime) -> GroupSample:
    reading = GroupReading(group, UNKNOWN_STATE, None, (), reason)
    return _row(reading, unread(reason), at.timestamp())


def _store(rows: Sequence[GroupSample], *, measured: Sequence[GroupReading], now: datetime) -> None:
    """Keep the rows, judge them, and tell pages; a group without a reading is measured as unknown."""
    rows = _written(rows)
    readings = {reading.group: reading for reading in measured}
    samples = []
    for row in rows:
        reading = readings.get(row.group)
        lag = None if reading is None else measured_lag(reading, row)
        age_s = None if lag is None else row.age_s
        labels = {"group": row.group}
        samples += [
            Measurement(Source.LAG, "consumer_lag", labels, lag, row.sampled_at),
            Measurement(Source.LAG, "consumer_lag_seconds", labels, age_s, row.sampled_at),
        ]
    if samples:
        _judge_by_rules(samples, now=now)
    for row in rows:
        publish("lag.sampled", row.group, as_data(row) | {"topics": _lag_by_topic(row)})


def _written(rows: Sequence[GroupSample]) -> list[GroupSample]:
    """Write the rows, and each by itself where the database refuses one; those that were written."""
    try:
        GroupSample.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    except (DataError, ValueError):
        return [row for row in rows if _is_written(row)]
    return list(rows)


def _is_written(row: GroupSample) -> bool:
    try:
        GroupSample.objects.bulk_create([row], ignore_conflicts=True)
    except (DataError, ValueError) as error:
        logger.error("the sample of the consumer group %r is not kept: %s", row.group, error)
        return False
    return True


def _judge_by_rules(samples: Sequence[Measurement], *, now: datetime) -> None:
    """Judge all at once, and each group by itself where something odd about one stops them all."""
    try:
        record_measurements(samples, now=now)
    except (DataError, ValueError):
        for group in dict.fromkeys(sample.labels["group"] for sample in samples):
            try:
                record_measurements([one for one in samples if one.labels["group"] == group], now=now)
            except (DataError, ValueError) as error:
                logger.error("the lag of the consumer group %r is not judged: %s", group, error)


def _lag_by_topic(row: GroupSample) -> dict[str, int | None] | None:
    """The topics that the group reads, None where the lag of one of its partitions is unknown; None
    instead of all where nobody knows which they are."""
    if not row.partitions and row.status == Status.UNKNOWN:
        return None
    by_topic: dict[str, int | None] = {}
    for part in row.partitions or ():
        known = by_topic.get(part["topic"], 0)
        by_topic[part["topic"]] = None if known is None or part["lag"] is None else known + part["lag"]
    return by_topic


def _resolve_deleted(existing: Collection[str], *, now: datetime) -> None:
    """No sample would ever resolve the alerts of a group that is no more."""
    for alert in Alert.objects.open().filter(rule__source=Source.LAG):
        group = alert.labels.get("group", "")
        if group in existing or GroupSample.objects.of_group(group, since=now - GONE_AFTER).exists():
            continue
        resolve_series(
            source=Source.LAG, labels=alert.labels, reason="the consumer group was deleted", now=now
        )


def _publish_rates(snapshot: GroupsSnapshot) -> None:
    # The samples before are those that were published: whichever process took them, they are in Redis.
    before = latest("topic.rates") or {}
    for topic, end in snapshot.topics.items():
        rate = topic_rate(before.get(topic), end, snapshot.at)
        publish(
            "topic.rates",
            topic,
            {
                "topic": topic,
                "topic_id": end.topic_id,
                "rate_in": _rounded(rate),
                "end_total": end.end_total,
                "sampled_at": snapshot.at,
            },
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

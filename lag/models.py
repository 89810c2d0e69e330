"""What was measured of consumer groups and brokers, one row a group, or the cluster, and tick.

A null is what nobody could read; it is never stored as 0. All rows of one tick share `sampled_at`, so
the rows at the newest time are the groups that exist.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypedDict

from django.db import models
from django.db.models import Max, Q

MAX_GROUP_NAME = 255
MAX_REASON = 500


class Status(models.TextChoices):
    """The verdict on a group, from its history: see `evaluation.py`. The worst is the last."""

    OK = "ok", "OK"
    EMPTY = "empty", "Empty"
    UNKNOWN = "unknown", "Unknown"
    SLOW = "slow", "Slow"
    REWOUND = "rewound", "Rewound"
    STALLED = "stalled", "Stalled"
    STOPPED = "stopped", "Stopped"


class Method(models.TextChoices):
    """How `age_s` of a partition was found."""

    CAUGHT_UP = "caught-up", "nothing is left to read"
    MARKERS = "markers", "only transaction markers are left"
    RECORD = "record", "age of the record at the committed offset"
    INTERPOLATED = "interpolated", "when the log passed the committed offset, between two samples"


class PartitionSample(TypedDict):
    """One partition of a `GroupSample`. Offsets and counts are in messages; null: unknown, see `reason`."""

    topic: str
    topic_id: str
    partition: int
    committed: int | None
    end: int | None
    log_start: int | None
    lag: int | None
    lost: int | None  # deleted by retention before they were read
    age_s: float | None  # of the oldest unread message
    method: str | None  # a `Method`
    consumed_per_s: float | None
    produced_per_s: float | None
    eta_s: float | None  # until it has caught up; null also where it never will at this rate
    status: str
    reason: str


class BrokerFigures(TypedDict):
    """One broker of a `BrokerSample`."""

    id: int
    address: str | None  # null of a broker that was never listed
    up: bool  # takes connections
    controller: bool | None
    leads: int  # partitions
    replicas: int
    under_replicated: int | None  # of the partitions it leads
    bytes_in_per_s: float | None
    bytes_out_per_s: float | None
    messages_in_per_s: float | None
    produce_p99_ms: float | None
    fetch_p99_ms: float | None
    bytes_in_total: float | None  # since the broker's start; the next sample's rates begin here
    bytes_out_total: float | None
    messages_in_total: float | None
    produce_requests_total: float | None


class GroupSampleQuerySet(models.QuerySet["GroupSample"]):
    def newest(self) -> GroupSampleQuerySet:
        """The rows of the newest tick: every group that exists, as it was seen last."""
        return self.filter(sampled_at=GroupSample.objects.aggregate(at=Max("sampled_at"))["at"])

    def of_group(self, group: str, *, since: datetime | None = None) -> GroupSampleQuerySet:
        """A group's samples, oldest first."""
        rows = self.filter(group=group).order_by("sampled_at")
        return rows if since is None else rows.filter(sampled_at__gte=since)

    def without_partitions(self) -> GroupSampleQuerySet:
        """For charts and lists, which show none of them."""
        return self.defer("partitions")


class GroupSample(models.Model):
    """One consumer group at one tick. Sums are over the partitions that are known."""

    group = models.CharField(max_length=MAX_GROUP_NAME)
    sampled_at = models.DateTimeField()
    state = models.CharField(max_length=32, help_text="Kafka's own: Stable, Empty…; Unknown where unread")
    status = models.CharField(max_length=8, choices=Status)
    reason = models.CharField(max_length=MAX_REASON, blank=True)
    members = models.PositiveIntegerField(null=True)
    total_lag = models.BigIntegerField(null=True)
    unknown_partitions = models.PositiveIntegerField(null=True)
    lost = models.BigIntegerField(null=True, help_text="messages deleted by retention before they were read")
    age_s = models.FloatField(null=True, help_text="of the oldest unread message of all partitions")
    consumed_per_s = models.FloatField(null=True)
    produced_per_s = models.FloatField(null=True)
    eta_s = models.FloatField(null=True, help_text="until the group has caught up; null: not at this rate")
    # A list of `PartitionSample`; null in rows that were thinned, which charts alone read.
    partitions = models.JSONField(null=True, default=list)

    objects: ClassVar[models.Manager[GroupSample]] = GroupSampleQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            # A group has one sample a tick, whoever else samples too; also the chart of one group.
            models.UniqueConstraint(fields=["group", "sampled_at"], name="group_sample_once_a_tick"),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="group_sample_status_is_known"
            ),
        ]
        indexes = [
            # The newest tick, the history that verdicts look at, and what is old enough to go.
            models.Index(fields=["sampled_at"], name="group_sample_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.group} at {self.sampled_at:%Y-%m-%dT%H:%M:%SZ}: {self.status}"


class BrokerSampleQuerySet(models.QuerySet["BrokerSample"]):
    def newest(self) -> BrokerSample | None:
        """The cluster as it was seen last."""
        return self.order_by("-sampled_at").first()

    def since(self, at: datetime) -> BrokerSampleQuerySet:
        """From this time on, oldest first."""
        return self.filter(sampled_at__gte=at).order_by("sampled_at")


class BrokerSample(models.Model):
    """The cluster at one tick. Everything is null, and `error` says why, when no broker answered."""

    sampled_at = models.DateTimeField(unique=True)
    cluster_id = models.CharField(max_length=64, blank=True)
    live = models.PositiveIntegerField(null=True, help_text="brokers that take connections")
    expected = models.PositiveIntegerField(null=True, help_text="brokers that live or hold a replica")
    partitions = models.PositiveIntegerField(null=True, help_text="of all topics, internal ones included")
    under_replicated = models.PositiveIntegerField(null=True)
    under_min_isr = models.PositiveIntegerField(null=True, help_text="partitions that refuse acks=all")
    leaderless = models.PositiveIntegerField(null=True)
    # A list of `BrokerFigures`, by id; empty when no broker answered.
    brokers = models.JSONField(default=list)
    error = models.CharField(max_length=MAX_REASON, blank=True)

    objects: ClassVar[models.Manager[BrokerSample]] = BrokerSampleQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        said = self.error or f"{self.live} of {self.expected} brokers"
        return f"cluster at {self.sampled_at:%Y-%m-%dT%H:%M:%SZ}: {said}"

"""The warehouse: every metric as a point, and what its series were minute by minute, hour by hour.

A point holds numbers alone, and its tags. What repeats from point to point (the instance, the metric,
the partition) is a row of its own, made once: a point is a third of the size it would be otherwise,
and so is every index over points.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Lookup, Q

from topics.naming import MAX_LENGTH as MAX_TOPIC_NAME
from topics.telemetry import MAX_NAME, MAX_TAG_VALUE


@models.CharField.register_lookup
class Matches(Lookup):
    """`instance_id__matches="prod-*"`: `*` is any text, everything else is itself, upper and lower apart."""

    lookup_name = "matches"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, parameters = self.process_lhs(compiler, connection)
        pattern = str(self.rhs)
        if connection.vendor == "sqlite":
            # LIKE would take upper for lower case.
            for special in "[?":
                pattern = pattern.replace(special, f"[{special}]")
            return f"{column} GLOB %s", [*parameters, pattern]
        for special in "\\%_":
            pattern = pattern.replace(special, f"\\{special}")
        return f"{column} LIKE %s", [*parameters, pattern.replace("*", "%")]

    def get_prep_lookup(self) -> Any:
        return self.rhs


class MetricSeries(models.Model):
    """One metric of one instance, in one environment and of one tenant; never deleted.

    `environment` is the tag's, else the topic's; it and `tenant_id` are empty where nothing says.
    """

    id = models.AutoField(primary_key=True)
    # Names can be longer together than an index entry may be, so what is unique is their hash.
    fingerprint = models.CharField(max_length=32, unique=True)
    database_type = models.CharField(max_length=MAX_NAME)
    instance_id = models.CharField(max_length=MAX_NAME)
    metric_name = models.CharField(max_length=MAX_NAME)
    environment = models.CharField(max_length=MAX_TAG_VALUE, blank=True)
    tenant_id = models.CharField(max_length=MAX_TAG_VALUE, blank=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "metric series"

    def __str__(self) -> str:
        return f"{self.metric_name} of {self.instance_id}"


class StreamPartition(models.Model):
    """A partition that points came from; a topic deleted and made again has others."""

    id = models.AutoField(primary_key=True)
    cluster_id = models.CharField(max_length=64)
    topic = models.CharField(max_length=MAX_TOPIC_NAME)
    topic_id = models.CharField(max_length=64)
    partition = models.PositiveIntegerField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "topic_id", "topic", "partition"], name="one_row_per_stream_partition"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class MetricPointQuerySet(models.QuerySet["MetricPoint"]):
    def of(
        self, *, instance: str | None = None, metric: str | None = None, since: datetime | None = None
    ) -> MetricPointQuerySet:
        """Of instances and metrics by name, in which `*` is any text; measured at `since` or later."""
        found = self
        if instance is not None:
            found = found.filter(series__instance_id__matches=instance)
        if metric is not None:
            found = found.filter(series__metric_name__matches=metric)
        if since is not None:
            found = found.filter(at__gte=since)
        return found


class MetricPoint(models.Model):
    """One sample as it was sent, once: its key is where in Kafka it stands.

    The database doesn't check the references, which would cost as much as the insert itself: what they
    name is there before, and is never deleted.
    """

    pk = models.CompositePrimaryKey("origin_id", "offset")
    origin = models.ForeignKey(
        StreamPartition, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    offset = models.BigIntegerField()
    series = models.ForeignKey(
        MetricSeries, on_delete=models.PROTECT, related_name="points", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(help_text="When it was measured, as the message says.")
    stored_at = models.DateTimeField(help_text="When the console stored it; retention counts from here.")
    value = models.FloatField()
    tags = models.JSONField(default=dict)

    objects = MetricPointQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        indexes = [
            # `metrics query --since`, and the newest first. Points come nearly in the order of their
            # times, so this grows at one end. An index by series would be written to all over: with
            # 50,000 series it made inserts ten times slower on SQLite, and charts read minutes anyway.
            models.Index(fields=["at"], name="point_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.value} at {self.at:%Y-%m-%dT%H:%M:%SZ}"


class Summary(models.Model):
    """What a series was in one span of time. `sketch` merges with others into that of a longer span.

    `outside` counts the samples that arrived in this span and were measured too long before, or after,
    to be counted in their own. A row of nothing else has no minimum, no mean and no percentiles.
    """

    count = models.BigIntegerField(default=0)
    minimum = models.FloatField(null=True)
    maximum = models.FloatField(null=True)
    total = models.FloatField(null=True)
    p50 = models.FloatField(null=True)
    p95 = models.FloatField(null=True)
    p99 = models.FloatField(null=True)
    sketch = models.BinaryField(null=True)
    outside = models.BigIntegerField(default=0)

    # What merging writes; the rest is the key.
    FIGURES: ClassVar = (
        "count",
        "minimum",
        "maximum",
        "total",
        "p50",
        "p95",
        "p99",
        "sketch",
        "outside",
    )

    class Meta:
        abstract = True

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count and self.total is not None else None


class MetricMinute(Summary):
    pk = models.CompositePrimaryKey("series_id", "at")
    series = models.ForeignKey(
        MetricSeries, on_delete=models.PROTECT, related_name="minutes", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(help_text="The start of the minute.")

    class Meta(Summary.Meta):
        abstract = False
        default_permissions = ("view",)
        indexes = [
            # Rolling the oldest ones up, and one minute across all series.
            models.Index(fields=["at"], name="minute_by_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(count__gte=0, outside__gte=0), name="minute_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.count} in {self.at:%Y-%m-%dT%H:%MZ}"


class MetricHour(Summary):
    """What is left of minutes when they are old."""

    pk = models.CompositePrimaryKey("series_id", "at")
    series = models.ForeignKey(
        MetricSeries, on_delete=models.PROTECT, related_name="hours", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(help_text="The start of the hour.")

    class Meta(Summary.Meta):
        abstract = False
        default_permissions = ("view",)
        indexes = [
            # Deleting the oldest ones.
            models.Index(fields=["at"], name="hour_by_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(count__gte=0, outside__gte=0), name="hour_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.count} in {self.at:%Y-%m-%dT%HZ}"

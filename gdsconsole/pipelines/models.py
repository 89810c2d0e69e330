"""Pipelines as the database knows them: what should run, who runs it, and how far it got."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from gdsconsole.database.leases import LeasedRow


class Pipeline(models.Model):
    """The desired state of one consumer group. `name` is its key in the catalogue."""

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"

    name = models.CharField(max_length=100, unique=True)
    group = models.CharField(max_length=255)
    # What its step makes of records, in the plural: "points". The catalogue says it.
    writes = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    consumers = models.PositiveSmallIntegerField(default=1)
    # A consumer that halts writes why; nothing of the pipeline runs until someone resumes it.
    halted_reason = models.TextField(blank=True)
    halted_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)
        permissions = [
            ("control_pipeline", "Can pause, resume and scale pipelines"),
            ("decide_halt", "Can skip, or dead-letter, what a halted partition stands at"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(consumers__gte=1), name="pipeline_consumers_at_least_one"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_wanted(self) -> bool:
        """Whether its consumers should run."""
        return self.state == self.State.RUNNING and not self.halted_reason


class PipelineConsumer(LeasedRow):
    """One slot of a pipeline: the lease on it, and the heartbeat of whoever holds it.

    `token` grows with every claim. A holder whose token is no longer the row's has been replaced.
    """

    class State(models.TextChoices):
        STARTING = "starting"
        RUNNING = "running"
        RETRYING = "retrying"
        HALTED = "halted"
        DRAINING = "draining"
        STOPPED = "stopped"

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="slots")
    slot = models.PositiveSmallIntegerField()
    # The worker whose process holds it; "" where a command runs it, which takes no worker's process.
    worker = models.CharField(max_length=255, blank=True, default="")
    # The holder is to end, for a pipeline that has none; the next claim forgets it.
    makes_room = models.BooleanField(default=False)
    claimed_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.STOPPED)
    reason = models.TextField(blank=True)
    partitions = models.JSONField(default=list)
    counters = models.JSONField(default=dict)

    class Meta:
        ordering = ["pipeline", "slot"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "slot"], name="one_lease_per_slot"),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.slot}"


class PartitionProgress(models.Model):
    """How far a group's effects on this database got: every record below `next_offset` is applied.

    Moved by compare-and-set in the transaction of the effects themselves.
    """

    cluster_id = models.CharField(max_length=64)
    group = models.CharField(max_length=255)
    topic = models.CharField(max_length=249)
    topic_id = models.CharField(max_length=64)
    partition = models.PositiveIntegerField()
    next_offset = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "group", "topic", "topic_id", "partition"],
                name="one_progress_per_partition",
            ),
            models.CheckConstraint(condition=Q(next_offset__gte=0), name="progress_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.topic}-{self.partition}@{self.next_offset}"


class WriteProbe(models.Model):
    """One row, written anew whenever somebody asks whether the database takes writes."""

    written_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"written at {self.written_at}"


class PartitionFailure(models.Model):
    """The record a partition stands at and the next try, kept so that both move with the partition."""

    cluster_id = models.CharField(max_length=64)
    group = models.CharField(max_length=255)
    topic = models.CharField(max_length=249)
    topic_id = models.CharField(max_length=64)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    kind = models.CharField(max_length=10)
    attempt = models.PositiveIntegerField()
    first_failed_at = models.DateTimeField()
    last_failed_at = models.DateTimeField()
    next_try_at = models.DateTimeField()
    error_type = models.CharField(max_length=255)
    error = models.TextField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "group", "topic", "topic_id", "partition"],
                name="one_failure_per_partition",
            ),
            models.CheckConstraint(
                condition=Q(last_failed_at__gte=F("first_failed_at")), name="failure_times_in_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.topic}-{self.partition}@{self.offset} attempt {self.attempt}"


class PartitionHalt(models.Model):
    """A partition that stands still at `offset`, and what people decided of it.

    Every record below `offset` is handled, and none from there on. The consumer that holds the partition
    makes the row, carries the decision out, and removes it; people write the decision alone.
    """

    class Decision(models.TextChoices):
        RESUME = "resume"
        DEAD_LETTER = "dead-letter"
        SKIP = "skip"

    cluster_id = models.CharField(max_length=64)
    group = models.CharField(max_length=255)
    topic = models.CharField(max_length=249)
    topic_id = models.CharField(max_length=64)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    reason = models.TextField()
    halted_at = models.DateTimeField()
    # "" while it waits for one.
    decision = models.CharField(max_length=12, choices=Decision, blank=True, default="")
    skip_to = models.BigIntegerField(null=True, blank=True)
    decided_by = models.CharField(max_length=160, blank=True, default="")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["group", "topic", "partition"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "group", "topic", "topic_id", "partition"],
                name="one_halt_per_partition",
            ),
            models.CheckConstraint(
                condition=Q(decision="skip", skip_to__gte=F("offset"))
                | (~Q(decision="skip") & Q(skip_to__isnull=True)),
                name="halt_skips_forward",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.place}@{self.offset}"

    @property
    def place(self) -> str:
        return f"{self.topic}-{self.partition}"


class DeadLetterClaim(models.Model):
    """A record that can't be decoded, and the group that writes its dead letter for every group."""

    cluster_id = models.CharField(max_length=64)
    topic_id = models.CharField(max_length=64)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    group = models.CharField(max_length=255)
    # From then on another group may take the claim over.
    expires_at = models.DateTimeField(db_index=True)
    # The letter is acknowledged, or parked.
    is_safe = models.BooleanField(default=False)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "topic_id", "partition", "offset"], name="one_claim_per_record"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic_id}-{self.partition}@{self.offset}: {self.group}"

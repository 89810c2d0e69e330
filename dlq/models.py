"""Dead letters, the replays asked for them, and the history of both.

A dead letter's message (key, value, headers) is written once and never changed. What happens to it
afterwards is a state, moved by compare-and-set, and one `DeadLetterEvent` for each move, written in
the same transaction.
"""

from __future__ import annotations

import base64
import uuid
from typing import ClassVar, TypedDict

from django.db import models
from django.db.models import Count, F, Max, Min, Q
from django.db.models.functions import Now

from gdsconsole.database.leases import LeasedRow
from gdsconsole.text.times import to_millis

# Kafka's own limits: a topic name has at most 249 characters.
TOPIC_NAME_LENGTH = 249
TOPIC_ID_LENGTH = 64
CAUSE_LENGTH = 16
EVERY_GROUP = "*"


class Cause(TypedDict):
    """Dead letters of one cause, as `DeadLetterQuerySet.causes()` groups them."""

    cause: str
    cause_label: str
    error_type: str
    topic: str | None
    letters: int
    waiting: int
    oldest: object
    newest: object


class DeadLetterState(models.TextChoices):
    PENDING = "pending", "New"
    REPLAYING = "replaying", "Replaying"
    REPLAYED = "replayed", "Replayed"
    FAILED = "failed", "Failed"
    DISCARDED = "discarded", "Discarded"


# The states that wait for a decision: from these, and no others, a letter is replayed or discarded.
OPEN_STATES = (DeadLetterState.PENDING, DeadLetterState.FAILED)


class Envelope(models.TextChoices):
    """How the failure's context came to the console."""

    HEADERS = "headers", "Message kept as it was, context in its headers"
    JSON = "json", "JSON envelope"
    UNREADABLE = "unreadable", "Envelope that could not be read"
    PARKED = "parked", "Parked: the broker refused it"


class DeadLetterQuerySet(models.QuerySet["DeadLetter"]):
    def open(self) -> DeadLetterQuerySet:
        """Letters that wait for a decision."""
        return self.filter(state__in=OPEN_STATES)

    def without_payload(self) -> DeadLetterQuerySet:
        """For lists: a value may have megabytes, and a list shows none of it."""
        return self.defer("value", "headers")

    def causes(self) -> list[Cause]:
        """Grouped by cause, the one with most letters waiting first."""
        groups = (
            self.values("cause", "cause_label", "error_type", "topic")
            .annotate(
                letters=Count("id"),
                waiting=Count("id", filter=Q(state__in=OPEN_STATES)),
                oldest=Min("first_failed_at"),
                newest=Max("last_failed_at"),
            )
            .order_by("-waiting", "-newest", "cause")
        )
        return [Cause(**group) for group in groups]

    def counts(self) -> dict[str, int]:
        """Letters by state; a state without letters is 0, because the table was read."""
        found = dict(self.values_list("state").annotate(Count("id")).order_by())
        return {state.value: found.get(state.value, 0) for state in DeadLetterState}


class DeadLetter(models.Model):
    """One message that a consumer group could not process, and what became of it."""

    state = models.CharField(max_length=10, choices=DeadLetterState, default=DeadLetterState.PENDING)

    # Where the message was when it failed. An envelope that can't be read says nothing of it, so
    # topic, partition and offset are unknown there, and the row is known by its DLQ coordinates.
    cluster_id = models.CharField(max_length=64)
    topic = models.CharField(max_length=TOPIC_NAME_LENGTH, null=True)
    # Text, "" where unknown, because a unique constraint takes two NULLs for two different values.
    topic_id = models.CharField(max_length=TOPIC_ID_LENGTH, blank=True, default="")
    partition = models.IntegerField(null=True)
    offset = models.BigIntegerField(null=True)
    # EVERY_GROUP for a record that can't be decoded: it fails in every group alike, and is one letter.
    group = models.CharField(max_length=255, blank=True, default="")
    timestamp = models.DateTimeField(null=True)
    timestamp_ms = models.BigIntegerField(null=True, help_text="as it was written, also where it is no date")

    # The message, byte for byte; see `pack_headers`.
    key = models.BinaryField(null=True)
    value = models.BinaryField(null=True)
    value_size = models.PositiveIntegerField(null=True, help_text="bytes; unknown of a tombstone")
    headers = models.JSONField(default=list)

    # Why it failed, as of the last time.
    error = models.TextField(blank=True)
    error_type = models.CharField(max_length=200, blank=True)
    cause = models.CharField(max_length=CAUSE_LENGTH)
    cause_label = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveIntegerField(null=True)
    first_failed_at = models.DateTimeField()
    last_failed_at = models.DateTimeField()
    replay_count = models.PositiveIntegerField(default=0)

    # Where its dead letter is; nowhere, if it is parked.
    envelope = models.CharField(max_length=10, choices=Envelope)
    dlq_topic = models.CharField(max_length=TOPIC_NAME_LENGTH, null=True)
    dlq_topic_id = models.CharField(max_length=TOPIC_ID_LENGTH, blank=True, default="")
    dlq_partition = models.IntegerField(null=True)
    dlq_offset = models.BigIntegerField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="when its DLQ record is deleted by retention")
    indexed_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager[DeadLetter]] = DeadLetterQuerySet.as_manager()

    class Meta:
        default_permissions = ("view", "change")
        permissions = [
            ("replay_deadletter", "Can send dead letters to their topic again"),
            ("discard_deadletter", "Can discard dead letters"),
        ]
        constraints = [
            # A dead letter published twice is one row, whatever its place in the DLQ.
            models.UniqueConstraint(
                fields=["cluster_id", "topic", "topic_id", "partition", "offset", "group"],
                condition=Q(topic__isnull=False),
                name="dead_letter_once_by_origin",
            ),
            models.UniqueConstraint(
                fields=["cluster_id", "dlq_topic", "dlq_topic_id", "dlq_partition", "dlq_offset"],
                condition=Q(topic__isnull=True),
                name="dead_letter_once_by_dlq_offset",
            ),
            models.CheckConstraint(
                condition=Q(state__in=DeadLetterState.values), name="dead_letter_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(topic__isnull=True)
                | Q(topic__isnull=False, partition__isnull=False, offset__isnull=False),
                name="dead_letter_origin_is_whole",
            ),
        ]
        indexes = [
            # The list, newest first, of one state and of all.
            models.Index(F("last_failed_at").desc(), F("id").desc(), name="dead_letter_newest"),
            models.Index("state", F("last_failed_at").desc(), name="dead_letter_state_newest"),
            # The causes strip, and the list of one cause.
            models.Index("cause", "state", name="dead_letter_cause"),
            # The index pipeline, finding the rows that it has just written.
            models.Index("dlq_topic", "dlq_partition", "dlq_offset", name="dead_letter_dlq_offset"),
        ]

    def __str__(self) -> str:
        return f"dead letter {self.pk} ({self.coordinates})"

    @property
    def state_label(self) -> str:
        """The state as its badge says it."""
        return DeadLetterState(self.state).label.lower()

    @property
    def coordinates(self) -> str:
        """`topic[partition]@offset`, of the message; of its DLQ record where that is all we know."""
        if self.topic is not None:
            return f"{self.topic}[{self.partition}]@{self.offset}"
        return f"{self.dlq_topic}[{self.dlq_partition}]@{self.dlq_offset}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def written_ms(self) -> int | None:
        """The message's own time in epoch milliseconds, date or not; None: it is not known."""
        if self.timestamp_ms is None and self.timestamp is not None:
            return to_millis(self.timestamp)
        return self.timestamp_ms

    @property
    def only_group(self) -> str | None:
        """The one group that could not process it; None: every group, or nobody knows which."""
        return self.group if self.group not in ("", EVERY_GROUP) else None

    @property
    def group_label(self) -> str:
        return group_label(self.group)

    def header_pairs(self) -> list[tuple[str, bytes | None]]:
        return unpack_headers(self.headers)


def group_label(group: str) -> str:
    """The group of a letter or of its history in words."""
    return "every group" if group == EVERY_GROUP else group or "an unknown group"


def pack_headers(pairs: list[tuple[str, bytes | None]]) -> list[list[str | None]]:
    """Headers as JSON: order and duplicates kept, values in base64, null values null."""
    return [[name, None if value is None else base64.b64encode(value).decode()] for name, value in pairs]


def unpack_headers(packed: list[list[str | None]]) -> list[tuple[str, bytes | None]]:
    """The inverse of `pack_headers`."""
    return [(str(name), None if value is None else base64.b64decode(value)) for name, value in packed]


class ReplayRunState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"


class ReplayRun(models.Model):
    """One request to send a frozen selection of dead letters to their topics again."""

    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500, blank=True)
    # Asked for in spite of the limit on replays of one letter.
    over_limit = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=ReplayRunState, default=ReplayRunState.QUEUED)
    total = models.PositiveIntegerField()
    replayed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    # What holds the run back just now, in one line ("Kafka at 10.0.0.1:9092 does not answer").
    waiting_for = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ReplayRunState.values), name="replay_run_state_is_known"
            ),
        ]
        indexes = [
            # The replayer asks for unfinished runs, oldest first.
            models.Index("state", "id", name="replay_run_state"),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk} of {self.total} by {self.actor}"


class ReplayItemState(models.TextChoices):
    QUEUED = "queued", "Queued"
    REPLAYED = "replayed", "Replayed"
    FAILED = "failed", "Failed"


class ReplayItem(models.Model):
    """One dead letter of a run. Its `replay_id` travels with the record and keys the replay ledger."""

    run = models.ForeignKey(ReplayRun, on_delete=models.PROTECT, related_name="items")
    dead_letter = models.ForeignKey(DeadLetter, on_delete=models.PROTECT, related_name="replays")
    replay_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(max_length=10, choices=ReplayItemState, default=ReplayItemState.QUEUED)
    # Which replay of its letter this is, counted from 1; the record carries it.
    number = models.PositiveIntegerField()
    # Set before the first transaction that may write this item, and kept: the ledger and its end at
    # that time. Its ledger record, if there is one, is at or after it. Without it, nothing was written.
    ledger_topic_id = models.CharField(max_length=TOPIC_ID_LENGTH, blank=True, default="")
    ledger_offset = models.BigIntegerField(null=True)
    target_topic = models.CharField(max_length=TOPIC_NAME_LENGTH)
    target_partition = models.IntegerField(null=True)
    target_offset = models.BigIntegerField(null=True)
    error = models.TextField(blank=True)
    settled_at = models.DateTimeField(null=True)
    # Set when the replayed record failed again, in the group that its letter came from.
    failed_again_at = models.DateTimeField(null=True)
    same_cause = models.BooleanField(null=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            # Whatever the code does, one letter is in one replay at a time.
            models.UniqueConstraint(
                fields=["dead_letter"],
                condition=Q(state=ReplayItemState.QUEUED),
                name="replay_item_one_active",
            ),
            models.UniqueConstraint(fields=["run", "dead_letter"], name="replay_item_once_a_run"),
            models.CheckConstraint(
                condition=Q(state__in=ReplayItemState.values), name="replay_item_state_is_known"
            ),
        ]
        indexes = [models.Index("run", "state", name="replay_item_state")]

    def __str__(self) -> str:
        return f"replay {self.replay_id}"

    @property
    def target(self) -> str | None:
        """`topic[partition]@offset` of the replayed record; None until it is known to be written."""
        if self.target_offset is None:
            return None
        return f"{self.target_topic}[{self.target_partition}]@{self.target_offset}"


class Replayer(LeasedRow):
    """Which process replays just now. Kafka's own fencing keeps two from both writing; this keeps
    them from fencing each other out in turns."""

    transactional_id = models.CharField(max_length=255, unique=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.transactional_id} held by {self.host}:{self.pid}"


class DeadLetterAction(models.TextChoices):
    INDEXED = "indexed", "arrived"
    REPLAY_REQUESTED = "requested", "replay requested"
    REPLAYED = "replayed", "replayed"
    REPLAY_FAILED = "replay_failed", "replay failed"
    FAILED_AGAIN = "failed_again", "failed again"
    DISCARDED = "discarded", "discarded"


class DeadLetterEvent(models.Model):
    """History of a dead letter; written with the change that it tells of, never changed."""

    dead_letter = models.ForeignKey(DeadLetter, on_delete=models.CASCADE, related_name="events")
    action = models.CharField(max_length=15, choices=DeadLetterAction)
    from_state = models.CharField(max_length=10, choices=DeadLetterState, null=True)
    to_state = models.CharField(max_length=10, choices=DeadLetterState)
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=500, blank=True)
    # The error as of this event; the letter itself shows the newest one.
    error = models.TextField(blank=True)
    error_type = models.CharField(max_length=200, blank=True)
    same_cause = models.BooleanField(null=True)
    replay_id = models.UUIDField(null=True)
    target = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        ordering = ["id"]
        constraints = [
            # A dead letter published twice comes back once.
            models.UniqueConstraint(
                fields=["dead_letter", "replay_id"],
                condition=Q(action=DeadLetterAction.FAILED_AGAIN),
                name="dead_letter_comes_back_once_a_replay",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dead_letter_id}: {self.action}"

    @property
    def preposition(self) -> str:
        """How `actor_label` is joined: what a topic sent comes from it, what people did is by them."""
        seen = (DeadLetterAction.INDEXED, DeadLetterAction.FAILED_AGAIN)
        return "from" if self.action in seen else "by"

    @property
    def actor_label(self) -> str:
        """Who did it: a person, or the group that failed."""
        by_group = self.action in (DeadLetterAction.INDEXED, DeadLetterAction.FAILED_AGAIN)
        return group_label(self.actor) if by_group else self.actor

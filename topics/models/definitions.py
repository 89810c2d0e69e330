"""What topics should be. The cluster's own state is never stored here, only what was declared."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from gdsconsole.kafka.cluster.topic_properties import PROPERTIES, check
from topics import naming

DAY_MS = 86_400_000


def validate_topic_name(name: str) -> None:
    try:
        naming.parse(name)
    except naming.WrongName as wrong:
        raise ValidationError(str(wrong), code="naming") from wrong


def validate_extra_config(config: Any) -> None:
    if not isinstance(config, dict):
        raise ValidationError(f"expected an object of property to text, got {config!r}", code="type")
    for name, value in config.items():
        if name in FIELD_OF_PROPERTY:
            raise ValidationError(f"{name}: has a field of its own, {FIELD_OF_PROPERTY[name]}", code="twice")
        if name not in PROPERTIES:
            raise ValidationError(f"{name!r} is not a topic property of Kafka 4.3", code="unknown")
        if not isinstance(value, str) or not value:
            raise ValidationError(f"{name}: expected text, got {value!r}", code="type")
        try:
            check(name, value)
        except ValueError as error:
            raise ValidationError(f"{name}: {value!r} {error}", code="value") from error


class CleanupPolicy(models.TextChoices):
    DELETE = "delete", "delete"
    COMPACT = "compact", "compact"
    COMPACT_DELETE = "compact,delete", "compact, then delete"


class Compression(models.TextChoices):
    LZ4 = "lz4"
    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    PRODUCER = "producer", "as the producer sent it"
    UNCOMPRESSED = "uncompressed"


class KeyStrategy(models.TextChoices):
    INSTANCE = "instance", "by instance: keeps an instance's samples in order"
    METRIC = "metric", "by metric: keeps a metric's samples together"
    TENANT = "tenant", "by tenant: keeps a tenant's samples together"
    NONE = "none", "no key: spreads evenly, no order"


# Kafka's property for each field that is one.
FIELD_OF_PROPERTY = {
    "retention.ms": "retention_ms",
    "min.insync.replicas": "min_insync_replicas",
    "cleanup.policy": "cleanup_policy",
    "compression.type": "compression_type",
    "max.message.bytes": "max_message_bytes",
}


class TopicDefinitionQuerySet(models.QuerySet["TopicDefinition"]):
    def enabled(self) -> TopicDefinitionQuerySet:
        return self.filter(enabled=True)

    def metrics(self) -> list[TopicDefinition]:
        """The enabled topics that carry metrics, dead letters aside: what the pipelines read."""
        return [
            topic
            for topic in self.enabled()
            if topic.parsed.domain == naming.METRICS and not topic.parsed.is_dead_letters
        ]

    def dead_letters(self) -> list[TopicDefinition]:
        return [topic for topic in self.enabled() if topic.parsed.is_dead_letters]


class TopicDefinition(models.Model):
    """One declared topic. `last_applied` is what `apply` last made of it, for three-way drift."""

    name = models.CharField(
        max_length=naming.MAX_LENGTH,
        unique=True,
        validators=[validate_topic_name],
        help_text=f"{naming.RULE}; the signal is optional, the last part is dlq for dead letters.",
    )
    partitions = models.PositiveIntegerField(
        default=12,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="Can be raised later, never lowered.",
    )
    replication_factor = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(15)],
        help_text="Replicas of each partition. Changing it on a live topic needs a reassignment.",
    )
    min_insync_replicas = models.PositiveSmallIntegerField(
        "min in-sync replicas",
        default=2,
        validators=[MinValueValidator(1)],
        help_text="Replicas that must have a record before acks=all answers. At most the replication factor.",
    )
    retention_ms = models.BigIntegerField(
        "retention (ms)", default=7 * DAY_MS, help_text="604800000 is 7 days; -1 keeps records for ever."
    )
    cleanup_policy = models.CharField(
        max_length=16, choices=CleanupPolicy.choices, default=CleanupPolicy.DELETE
    )
    compression_type = models.CharField(max_length=16, choices=Compression.choices, default=Compression.LZ4)
    max_message_bytes = models.PositiveIntegerField(
        default=1_048_588,
        validators=[MinValueValidator(1024), MaxValueValidator(104_857_600)],
        help_text="The largest batch of records the broker accepts, after compression.",
    )
    key_strategy = models.CharField(max_length=16, choices=KeyStrategy.choices, default=KeyStrategy.INSTANCE)
    extra_config = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_extra_config],
        help_text='Further topic properties, {"segment.ms": "3600000"}.',
    )
    owner = models.CharField(max_length=100, blank=True, help_text="Who to ask about this topic.")
    description = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(
        default=True, help_text="Disabled definitions are not applied; the topic itself stays."
    )
    last_applied = models.JSONField(null=True, blank=True, editable=False)
    applied_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TopicDefinitionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="topic_partitions_positive",
                condition=Q(partitions__gte=1),
                violation_error_message="partitions: at least 1",
            ),
            models.CheckConstraint(
                name="topic_replication_positive",
                condition=Q(replication_factor__gte=1),
                violation_error_message="replication_factor: at least 1",
            ),
            models.CheckConstraint(
                name="topic_min_isr_within_replication",
                condition=Q(min_insync_replicas__gte=1, min_insync_replicas__lte=F("replication_factor")),
                violation_error_message="min_insync_replicas: from 1 to the replication factor",
            ),
            models.CheckConstraint(
                name="topic_retention_sane",
                condition=Q(retention_ms=-1) | Q(retention_ms__gte=60_000),
                violation_error_message="retention_ms: -1 (for ever) or at least 60000 (a minute)",
            ),
            models.CheckConstraint(
                name="topic_cleanup_policy_known",
                condition=Q(cleanup_policy__in=CleanupPolicy.values),
                violation_error_message="cleanup_policy: delete, compact or compact,delete",
            ),
            models.CheckConstraint(
                name="topic_compression_known",
                condition=Q(compression_type__in=Compression.values),
                violation_error_message="compression_type: not one Kafka knows",
            ),
            models.CheckConstraint(
                name="topic_key_strategy_known",
                condition=Q(key_strategy__in=KeyStrategy.values),
                violation_error_message="key_strategy: instance, metric, tenant or none",
            ),
            # The broker refuses a record without a key in a compacted topic.
            models.CheckConstraint(
                name="topic_compaction_needs_key",
                condition=Q(cleanup_policy=CleanupPolicy.DELETE) | ~Q(key_strategy=KeyStrategy.NONE),
                violation_error_message="key_strategy: none can't be used with a compacted topic",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def parsed(self) -> naming.TopicName:
        return naming.parse(self.name)

    def clean(self) -> None:
        """Rules over several fields, each reported at the field a person would change."""
        wrong: dict[str, str] = {}
        isr, replicas = self.min_insync_replicas, self.replication_factor
        if isr is not None and replicas is not None and isr > replicas:
            wrong["min_insync_replicas"] = f"{isr} is more than the replication factor of {replicas}"
        if self.retention_ms is not None and self.retention_ms != -1 and self.retention_ms < 60_000:
            wrong["retention_ms"] = (
                f"{self.retention_ms} is neither -1 (for ever) nor at least 60000 (a minute)"
            )
        if self.cleanup_policy != CleanupPolicy.DELETE and self.key_strategy == KeyStrategy.NONE:
            wrong["key_strategy"] = f"'none' can't be used with cleanup policy {self.cleanup_policy!r}"
        if wrong:
            raise ValidationError(wrong)

    def declared_config(self) -> dict[str, str]:
        """The topic properties this definition asks for, as Kafka names and writes them."""
        columns = {name: str(getattr(self, field)) for name, field in FIELD_OF_PROPERTY.items()}
        return {**columns, **self.extra_config}

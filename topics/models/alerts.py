"""Alert rules, the alerts they raise, and the events sent onward about them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models import Case, IntegerField, Min, Q, Value, When, Window

from gdsconsole.text.formats import duration
from topics.naming import MAX_LENGTH as MAX_TOPIC_NAME
from topics.telemetry import MAX_NAME, MAX_TAG_VALUE

WEEK_S = 7 * 86_400
# The address of an alert's page: in the URL map, and in what workers say of the alert.
ALERT_ROUTE = "alerts/<int:pk>/"
_tag_list = RegexValidator(
    r"^[A-Za-z0-9_.\-]+(,[A-Za-z0-9_.\-]+)*$", "tag names separated by commas, without spaces"
)

# Pages make a link of it, and a link may be a script: `javascript:` runs as whoever clicks.
validate_runbook_url = URLValidator(
    schemes=["http", "https"], message="“%(value)s” is not an address that begins with http:// or https://"
)


def validate_finite(number: float) -> None:
    if not math.isfinite(number):
        raise ValidationError(f"{number} is not a finite number", code="finite")


class Source(models.TextChoices):
    METRIC = "metric", "metrics from Kafka"
    LAG = "lag", "consumer group lag"
    BROKER = "broker", "brokers"
    PIPELINE = "pipeline", "pipelines"


class Operator(models.TextChoices):
    ABOVE = ">", "> above"
    AT_LEAST = ">=", ">= at least"
    BELOW = "<", "< below"
    AT_MOST = "<=", "<= at most"
    EQUAL = "==", "== equal to"
    DIFFERENT = "!=", "!= different from"


class Severity(models.TextChoices):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class AlertState(models.TextChoices):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


OPEN_STATES = (AlertState.PENDING.value, AlertState.FIRING.value)
_STATE_ORDER = (AlertState.FIRING.value, AlertState.PENDING.value, AlertState.RESOLVED.value)


def _rank(field: str, order: Sequence[str]) -> Case:
    """The position of a field's value in `order`, to sort by."""
    cases = [When(**{field: value}, then=Value(rank)) for rank, value in enumerate(order)]
    return Case(*cases, default=Value(len(order)), output_field=IntegerField())


class AlertRule(models.Model):
    """When a series' samples break `operator threshold` for `for_s` seconds, an alert fires.

    A series is what the labels tell apart: for metrics the database type, instance, environment,
    tenant and the tags in `group_by_tags`; for lag the group; for brokers the measurement's labels.
    """

    name = models.CharField(max_length=100, unique=True)
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.METRIC)
    metric_name = models.CharField(
        max_length=MAX_NAME, help_text="cpu_usage_percent, consumer_lag, under_replicated_partitions…"
    )
    operator = models.CharField(max_length=2, choices=Operator.choices, default=Operator.ABOVE)
    threshold = models.FloatField(validators=[validate_finite])
    for_s = models.PositiveIntegerField(
        "for (s)",
        default=0,
        validators=[MaxValueValidator(WEEK_S)],
        help_text="How long the threshold must be broken before the alert fires. 0 fires at once.",
    )
    keep_firing_for_s = models.PositiveIntegerField(
        "keep firing for (s)",
        default=0,
        validators=[MaxValueValidator(WEEK_S)],
        help_text="How long values must be good again before the alert resolves, against flapping.",
    )
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    database_type = models.CharField(max_length=MAX_NAME, blank=True, help_text="Blank is any; * matches.")
    instance = models.CharField(
        max_length=MAX_NAME, blank=True, help_text="Instance or group. Blank is any; prod-db-* matches."
    )
    environment = models.CharField(max_length=MAX_NAME, blank=True, help_text="Blank is any; * matches.")
    group_by_tags = models.CharField(
        max_length=200,
        blank=True,
        validators=[_tag_list],
        help_text="Tags that make alerts of one instance distinct, such as mount,database.",
    )
    description = models.CharField(max_length=500, blank=True, help_text="What it means and what to do.")
    runbook_url = models.URLField(blank=True, validators=[validate_runbook_url])
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="rule_source_known",
                condition=Q(source__in=Source.values),
                violation_error_message="source: metric, lag, broker or pipeline",
            ),
            models.CheckConstraint(
                name="rule_operator_known",
                condition=Q(operator__in=Operator.values),
                violation_error_message="operator: one of > >= < <= == !=",
            ),
            models.CheckConstraint(
                name="rule_severity_known",
                condition=Q(severity__in=Severity.values),
                violation_error_message="severity: critical, warning or info",
            ),
            models.CheckConstraint(
                name="rule_metric_named",
                condition=~Q(metric_name=""),
                violation_error_message="metric_name: can't be empty",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def condition(self) -> str:
        """`cpu_usage_percent > 80`."""
        return f"{self.metric_name} {self.operator} {self.threshold:g}"

    @property
    def pending_period(self) -> str:
        """How long it must hold before it fires, as pages say it."""
        return duration(self.for_s) if self.for_s else "0 s"

    @property
    def runbook_link(self) -> str:
        """The runbook's address where it may be a link; a row may be older than the validator."""
        try:
            validate_runbook_url(self.runbook_url)
        except ValidationError:
            return ""
        return self.runbook_url


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        return self.filter(state__in=OPEN_STATES)

    def firing(self) -> AlertQuerySet:
        return self.filter(state=AlertState.FIRING)

    def worst_first(self) -> AlertQuerySet:
        """Firing before pending before resolved, critical before warning; then by rule, the rule whose
        alert is the longest open first, so that alerts of one cause stand together."""
        oldest = Window(Min("started_at"), partition_by=["state", "severity", "rule_id"])
        return self.order_by(
            _rank("state", _STATE_ORDER),
            _rank("severity", Severity.values),
            oldest,
            "rule_id",
            "started_at",
            "pk",
        )

    def worst_and_newest_first(self) -> AlertQuerySet:
        """Firing before pending before resolved, then critical first, then what the console saw last.

        By the console's own clock: a sample may come long after its time.
        """
        return self.order_by(
            _rank("state", _STATE_ORDER), _rank("severity", Severity.values), "-changed_at", "-pk"
        )


class Alert(models.Model):
    """One breach of one rule by one series, from the first bad sample to the last.

    The condition is copied from the rule when the alert opens, because the rule may be edited later.
    Times of metrics are the samples' own (event time); `created_at` and `changed_at` are the console's.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="alerts")
    fingerprint = models.CharField(max_length=32, help_text="Hash of the labels.")
    labels = models.JSONField()
    subject = models.CharField(
        max_length=MAX_TAG_VALUE, help_text="The instance, group or broker it is about."
    )
    environment = models.CharField(max_length=MAX_TAG_VALUE, blank=True)
    state = models.CharField(max_length=8, choices=AlertState.choices)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    metric_name = models.CharField(max_length=MAX_NAME)
    operator = models.CharField(max_length=2, choices=Operator.choices)
    threshold = models.FloatField()
    value = models.FloatField(help_text="The value that made it fire, or opened it while it is pending.")
    last_value = models.FloatField(help_text="The newest value, refreshed every few seconds.")
    started_at = models.DateTimeField(help_text="Time of the first sample that broke the threshold.")
    fired_at = models.DateTimeField(null=True, blank=True)
    last_sample_at = models.DateTimeField(help_text="Time of the newest sample seen.")
    good_since = models.DateTimeField(
        null=True, blank=True, help_text="Time of the first good sample since the last bad one."
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_reason = models.CharField(max_length=200, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    # The record that opened it, or made it fire; null where the source is not a topic.
    topic = models.CharField(max_length=MAX_TOPIC_NAME, null=True, blank=True)
    partition = models.PositiveIntegerField(null=True, blank=True)
    offset = models.PositiveBigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(help_text="When the console last changed the state.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        permissions = [("acknowledge_alert", "Can acknowledge alerts")]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "fingerprint"],
                condition=Q(state__in=OPEN_STATES),
                name="one_open_alert_per_rule_and_labels",
            ),
            models.CheckConstraint(
                name="alert_state_known",
                condition=Q(state__in=AlertState.values),
                violation_error_message="state: pending, firing or resolved",
            ),
        ]
        indexes = [
            # The alerts page: open ones first, history by time.
            models.Index(fields=["state", "started_at"], name="alert_state_started"),
            # A rule's history and when it last fired.
            models.Index(fields=["rule", "fired_at"], name="alert_rule_fired"),
            # One instance's alerts.
            models.Index(fields=["subject", "started_at"], name="alert_subject_started"),
        ]

    def __str__(self) -> str:
        return self.summary

    def get_absolute_url(self) -> str:
        # Not by reverse(): pipelines tell pages of alerts, and need not load the pages for that.
        return "/" + ALERT_ROUTE.replace("<int:pk>", str(self.pk))

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def summary(self) -> str:
        """`cpu_usage_percent 85.5 > 80 on prod-db-01`."""
        return f"{self.metric_name} {self.value:g} {self.operator} {self.threshold:g} on {self.subject}"


class EventState(models.TextChoices):
    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"


class AlertEventQuerySet(models.QuerySet["AlertEvent"]):
    def unpublished(self) -> AlertEventQuerySet:
        return self.filter(published_at=None)


class AlertEvent(models.Model):
    """One change of an alert, and at once the outbox row of the message sent to the alerts topic.

    It is written in the transaction of the change. Whoever means to send it holds `leased_until`;
    `published_at` is set when the broker has acknowledged it. `event_id` is the idempotency key.
    """

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    event_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(max_length=12, choices=EventState.choices)
    value = models.FloatField()
    at = models.DateTimeField(help_text="When it happened, in the time of the samples.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    published_at = models.DateTimeField(null=True, blank=True)
    # The record whose offset is committed in the transaction that sends the event; null where it goes by
    # the outbox.
    source_topic = models.CharField(max_length=MAX_TOPIC_NAME, null=True, blank=True)
    source_partition = models.PositiveIntegerField(null=True, blank=True)
    source_offset = models.PositiveBigIntegerField(null=True, blank=True)

    objects = AlertEventQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            # The sweep of what is left to send; small, because nearly all rows are sent.
            models.Index(
                fields=["leased_until"], condition=Q(published_at=None), name="alert_event_unpublished"
            ),
            # A partition's events that aren't known to be committed.
            models.Index(
                fields=["source_topic", "source_partition", "source_offset"],
                condition=Q(published_at=None),
                name="alert_event_uncommitted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} {self.state} at {self.at:%Y-%m-%dT%H:%M:%SZ}"

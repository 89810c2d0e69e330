"""Alert rules as rows. What an edit takes a rule away from is resolved with it."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from gdsconsole.audit import services as audit
from gdsconsole.web import links
from topics.alerting.services.alerts import resolve_alert, rule_of
from topics.audited_fields import edited
from topics.models import Alert, AlertRule, Source
from topics.models.alerts import validate_runbook_url


def save_rule(*, rule: AlertRule, actor: str, now: datetime) -> list[Alert]:
    """Store a new or edited rule; returns the alerts it no longer covers, which are resolved.

    Raises `ValidationError` by field for a runbook that is no http(s) address, whoever the caller is.
    """
    if rule.runbook_url:
        try:
            validate_runbook_url(rule.runbook_url)
        except ValidationError as error:
            raise ValidationError({"runbook_url": error}) from error
    with transaction.atomic():
        stored = AlertRule.objects.select_for_update().filter(pk=rule.pk).first()
        changes = audit.changes_between(edited(stored), edited(rule))
        rule.save()
        resolved = resolve_uncovered(now=now)
        if changes:
            audit.record(
                actor=actor,
                action="rule.change" if stored else "rule.add",
                sentence=f"{'changed' if stored else 'added'} rule {rule.name}",
                now=now,
                target=rule.name,
                target_url=links.rules(q=rule.name),
                changes=changes,
            )
    return resolved


def delete_rule(*, rule: AlertRule, actor: str, now: datetime) -> None:
    """Delete a rule that never had an alert. Raises `ProtectedError` for any other: disable it."""
    with transaction.atomic():
        fields = {name: (value, None) for name, value in edited(rule).items()}
        rule.delete()
        audit.record(
            actor=actor,
            action="rule.delete",
            sentence=f"deleted rule {rule.name}",
            now=now,
            target=rule.name,
            changes=fields,
        )


def resolve_uncovered(*, now: datetime) -> list[Alert]:
    """Resolve open alerts whose rule is disabled or was edited away from them.

    No sample would ever close them: the pipelines ask only the rules in force.
    """
    resolved = []
    for alert in Alert.objects.open().select_related("rule"):
        reason = _uncovered(alert)
        if reason:
            resolved += resolve_alert(alert, reason, now)
    return resolved


def _uncovered(alert: Alert) -> str:
    rule = rule_of(alert.rule)
    if not alert.rule.enabled:
        return "the rule was disabled"
    if rule.metric_name != alert.metric_name or not rule.covers(subject=alert.subject, labels=alert.labels):
        return "the rule no longer covers it"
    if rule.source == Source.METRIC and not set(alert.labels) <= {"database_type", "instance_id", *rule.tags}:
        return "the rule tells series apart by other tags now"
    return ""

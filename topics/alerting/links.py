"""What other pages lead to, and listen to, of alerts."""

from __future__ import annotations

from gdsconsole.web import links
from topics.models import Alert, Source


def alerts_of_instance(instance_id: str) -> str:
    """The list of everything that ever fired on an instance."""
    return links.alerts(state="all", q=instance_id)


def live_address(alert: Alert) -> str:
    """The live event that carries the alert's newest value."""
    if alert.rule.source == Source.METRIC:
        return f"metric.newest:{alert.subject}/{alert.metric_name}:value"
    if alert.metric_name == "consumer_lag":
        return f"lag.sampled:{alert.subject}:total_lag"
    return f"alert.changed:{alert.pk}:value"

"""Beat's way to the services of this app."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from gdsconsole.database.reporting import outages_logged
from gdsconsole.kafka.errors import KafkaUnavailable
from topics.alerting import services as alerting
from topics.alerting.outbox import EventSender, sweep
from topics.definitions import services as definitions
from topics.warehouse.retention import forget_old

LOG = logging.getLogger(__name__)
FORGET_FOR_S = 20.0

_sender = EventSender()  # connects at its first event, inside the worker's child


@shared_task(name="topics.publish_alert_events", time_limit=60)
def publish_alert_events() -> int:
    """Send what no pipeline sent, and close alerts whose rule no longer watches them."""
    now = timezone.now()
    with outages_logged(LOG, "no alert event is swept up"):
        alerting.resolve_uncovered(now=now)
        return sweep(sender=_sender, now=now, lease=alerting.LEASE)
    return 0


@shared_task(name="topics.watch_pipelines", ignore_result=True, time_limit=30)
def watch_pipelines() -> None:
    """Raise and resolve the alerts of the pipelines themselves; an outage leaves them to the next tick."""
    with outages_logged(LOG, "pipelines are not judged"):
        alerting.watch_pipelines(now=timezone.now())


@shared_task(name="topics.compare_topics", ignore_result=True, time_limit=60)
def compare_topics() -> None:
    """Tell pages how the declared topics stand; what can't be read grows old on them, and is unknown then."""
    try:
        with outages_logged(LOG, "topics are not compared"):
            definitions.compare_topics()
    except KafkaUnavailable as error:
        LOG.warning("topics are not compared: the cluster does not answer: %s", error)


@shared_task(name="topics.forget_old_metrics", ignore_result=True, time_limit=120)
def forget_old_metrics() -> None:
    """Keep the warehouse within its retention; what doesn't fit into one run is the next one's."""
    with outages_logged(LOG, "nothing old is forgotten"):
        done = forget_old(now=timezone.now(), kept=settings.GDS_WAREHOUSE, budget_s=FORGET_FOR_S)
        if not done.is_done:
            LOG.warning(
                "the warehouse's retention is behind: %s in %.0f s, and more is due", done, FORGET_FOR_S
            )

"""Beat's way to the samplers. An outage is a sample too, so nothing here raises for one."""

from __future__ import annotations

import logging
from functools import cache

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from gdsconsole.database.reporting import outages_logged
from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.pipelines.connection import kafka_settings
from lag import services
from lag.sample_window import SampleWindow
from lag.ticks import tick

logger = logging.getLogger(__name__)

# Beat's schedule, in settings.
EVERY_S = 5.0
# A sample in the worst outage takes some 15 s; past this its process is ended, and the tick is free.
TIME_LIMIT_S = 30


@shared_task(name="lag.sample_lag", ignore_result=True, time_limit=TIME_LIMIT_S)
def sample_lag() -> int | None:
    """Sample every consumer group; how many, None where the tick is another's or can't be stored."""
    with tick("groups", every_s=EVERY_S, longest_s=TIME_LIMIT_S) as is_mine:
        if not is_mine:
            return None
        with outages_logged(logger, "no sample of consumer groups"):
            rows = services.sample_groups(
                settings=kafka_settings(), times=_times(), history=_history(), now=timezone.now()
            )
            return len(rows)
        return None


@shared_task(name="lag.sample_brokers", ignore_result=True, time_limit=TIME_LIMIT_S)
def sample_brokers() -> int | None:
    """Sample the cluster; how many brokers live, None where that isn't known."""
    with tick("brokers", every_s=EVERY_S, longest_s=TIME_LIMIT_S) as is_mine:
        if not is_mine:
            return None
        with outages_logged(logger, "no sample of brokers"):
            sample = services.sample_brokers(
                settings=kafka_settings(),
                metrics_urls=settings.KAFKA_BROKER_METRICS_URLS,
                now=timezone.now(),
            )
            return sample.live
        return None


@shared_task(name="lag.prune_samples", ignore_result=True, time_limit=120)
def prune_samples() -> int:
    """Keep what is stored within its bounds."""
    with outages_logged(logger, "no old sample is pruned"):
        return services.prune_samples(now=timezone.now())
    return 0


# Kept between ticks by the worker's child that made them, never by its parent.


@cache
def _history() -> SampleWindow:
    return SampleWindow()


@cache
def _times() -> RecordTimes:
    return RecordTimes(kafka_settings())

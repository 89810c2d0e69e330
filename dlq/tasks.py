"""The worker's way to the replayer. Both tasks do the same: whoever comes first does the work."""

from __future__ import annotations

import logging

import redis
from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError

from dlq.replayer import replay_waiting, waiting_runs
from gdsconsole.database.reporting import outages_logged
from gdsconsole.pipelines.connection import kafka_settings
from gdsconsole.redis_clients import redis_client

log = logging.getLogger(__name__)

# Below the time limit: a long run is handed on between two transactions, never cut in one.
BUDGET_S = 120.0


@shared_task(name="dlq.replay", time_limit=300)
def replay() -> None:
    """Send what waits. Asked for when a run is made; needs no argument, because the rows say what."""
    with outages_logged(log, "replays wait for their schedule"):
        if replay_waiting(kafka_settings(), budget_s=BUDGET_S):
            replay.apply_async(retry=False)


@shared_task(name="dlq.settle_replays", time_limit=300)
def settle_replays() -> None:
    """Beat's: take up runs whose worker died, whose cluster was away, or whose message was lost."""
    with outages_logged(log, "replays wait for the next tick"):
        if waiting_runs().exists():
            replay_waiting(kafka_settings(), budget_s=BUDGET_S)


def enqueue_replay() -> bool:
    """Ask for a replay now. False: the queue can't be reached, and beat's task will take it up."""
    try:
        _require_queue()
        replay.apply_async(retry=False)
    except (OperationalError, redis.RedisError, OSError) as error:
        log.warning("replay not enqueued, left to the schedule: %s", error)
        return False
    return True


def _require_queue() -> None:
    """Fail at once where the broker client would try for six seconds, with a person waiting."""
    with redis_client(url=settings.CELERY_BROKER_URL, timeout_s=1) as client:
        client.ping()

"""The reconciler, and the task's place in Celery."""

from __future__ import annotations

import pytest
import redis
from django.utils import timezone

from gdsconsole.assembly import pipeline_catalog, tasks
from gdsconsole.celery import app
from gdsconsole.pipelines import services
from tests.factories import by

pytestmark = [pytest.mark.redis, pytest.mark.django_db]

ALL = len(pipeline_catalog.CATALOG)


@pytest.fixture
def queue(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: client.llen(tasks.QUEUE)


def test_what_should_run_and_does_not_is_sent_to_its_own_queue(queue):
    assert tasks.reconcile_pipelines() == ALL
    assert queue() == ALL


def test_a_queue_nobody_reads_does_not_grow(queue):
    services.ensure(groups={"alerting": "gds-alerting"})
    services.scale(name="alerting", consumers=3, **by())
    for _ in range(20):
        tasks.reconcile_pipelines()
    assert queue() == ALL + 2


def test_after_a_flush_the_tasks_are_sent_again(queue, redis_url):
    tasks.reconcile_pipelines()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert tasks.reconcile_pipelines() == ALL
    assert queue() == ALL


def test_paused_and_halted_pipelines_are_left_alone(queue):
    tasks.reconcile_pipelines()
    for name in pipeline_catalog.CATALOG.keys() - {"dlq-index"}:
        services.pause(name=name, **by())
    services.halt(name="dlq-index", reason="why", now=timezone.now())
    with redis.Redis.from_url(app.conf.broker_url) as client:
        client.flushall()
    assert tasks.reconcile_pipelines() == 0
    assert queue() == 0


def test_the_task_is_acknowledged_early_and_has_no_limit_that_ends_it():
    task = app.tasks["gdsconsole.run_pipeline"]
    assert task.acks_late is False
    assert task.time_limit > 365 * 86_400
    assert task.soft_time_limit is None
    route = app.amqp.router.route({}, task.name)
    assert route["queue"].name == "pipelines"

"""Four processes for four pipelines, of which one has taken all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from gdsconsole.assembly import pipeline_catalog, tasks
from gdsconsole.pipelines import capacity, services
from gdsconsole.pipelines.models import PipelineConsumer
from gdsconsole.workers import marks
from tests.factories import by
from tests.integration.processes import console_parts
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

OTHERS = pipeline_catalog.CATALOG.keys() - {"alerting"}


@pytest.fixture
def worker(redis_url: str, subprocess_environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """A consumer needs no broker to hold its slot."""
    nowhere = {**subprocess_environment, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with console_parts(nowhere, tmp_path) as parts:
        parts.worker(concurrency=4)
        wait_until(
            lambda: marks.processes(marks.read(redis_url), capacity.QUEUE, now=time.time()) == 4,
            60,
            "it speaks",
        )
        yield


def after_a_tick(wanted: dict[str, int]) -> bool:
    """Whether, after another turn of the reconciler, these hold so many slots."""
    tasks.reconcile_pipelines()
    held = PipelineConsumer.objects.filter(expires_at__gt=timezone.now(), pid__isnull=False)
    return Counter(held.values_list("pipeline__name", flat=True)) == wanted


def test_a_pipeline_that_took_every_process_gives_one_to_each_that_has_none(worker: None) -> None:
    pipeline_catalog.ensure_rows()
    for name in OTHERS:
        services.pause(name=name, **by())
    services.scale(name="alerting", consumers=4, **by())
    wait_until(lambda: after_a_tick({"alerting": 4}), 30, "one has all", every_s=0.5)
    for name in OTHERS:
        services.resume(name=name, **by())
    wait_until(
        lambda: after_a_tick(dict.fromkeys(pipeline_catalog.CATALOG, 1)), 40, "each has one", every_s=0.5
    )
    (alerting, *_) = services.listing(now=timezone.now(), processes=4)
    assert alerting["reason"] == "1 of 4 consumers run: 4 of 4 worker processes are taken"
    # And so it stays.
    assert after_a_tick(dict.fromkeys(pipeline_catalog.CATALOG, 1))
    assert not PipelineConsumer.objects.filter(makes_room=True, pid__isnull=False).exists()

"""Rules about the console's own pipelines: halted, waiting, or run by nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from gdsconsole.database.leases import Holder
from gdsconsole.kafka.consuming.halts import PartitionHalt
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import leases
from gdsconsole.pipelines import services as pipelines
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.leases import Heartbeat, Lease
from gdsconsole.pipelines.models import PipelineConsumer
from tests.factories import by
from topics import seed
from topics.alerting.outbox import encode_event
from topics.alerting.services import watch_pipelines
from topics.models import Alert, AlertEvent

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ELSEWHERE = Holder("node-7", 4711, "another kernel", 1.0)
State = PipelineConsumer.State


@pytest.fixture(autouse=True)
def ruled() -> None:
    pipelines.ensure(groups={"alerting": "gds-alerting"})
    seed.install_default_rules()


@pytest.fixture
def lease() -> Lease:
    held = leases.claim(name="alerting", slot=0, holder=ELSEWHERE, now=NOW)
    assert held is not None
    return held


def beat(lease: Lease, seconds: float, *, waiting: dict[str, str] | None = None) -> None:
    state = State.RETRYING if waiting else State.RUNNING
    heartbeat = Heartbeat(state, "", ["gds.metrics.production-0"], {"waiting": waiting or {}})
    assert leases.renew(lease=lease, heartbeat=heartbeat, now=at(seconds))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def watch(seconds: float) -> dict[str, str]:
    """Judge them then; the state of each alert there is, by its rule."""
    watch_pipelines(now=at(seconds))
    found = Alert.objects.order_by("pk").values_list("rule__name", "state")
    assert set(Alert.objects.values_list("subject", flat=True)) <= {"gds-alerting"}
    return dict(found)


def test_all_is_well(lease: Lease) -> None:
    beat(lease, 0)
    assert watch(1) == {}


def test_a_halt_fires_at_once_and_resolves_when_somebody_resumes_it(lease: Lease) -> None:
    beat(lease, 0)
    pipelines.halt(name="alerting", reason="100 of 100 failed", now=at(1))
    assert watch(2) == {"Pipeline halted": "firing"}
    assert Alert.objects.get().severity == "critical"
    assert Alert.objects.get().labels == {"pipeline": "alerting", "group": "gds-alerting"}
    pipelines.resume(name="alerting", **by())
    assert watch(5) == {"Pipeline halted": "resolved"}


def test_an_outage_fires_when_it_lasts_and_resolves_once_it_is_over_for_a_while(lease: Lease) -> None:
    waiting = {"gds.metrics.production-0": "database: locked"}
    beat(lease, 0, waiting=waiting)
    assert watch(1) == {"Pipeline waits": "pending"}
    beat(lease, 10, waiting=waiting)
    assert watch(12) == {"Pipeline waits": "firing"}
    beat(lease, 15)
    assert watch(16) == {"Pipeline waits": "firing"}
    beat(lease, 25)
    assert watch(27) == {"Pipeline waits": "resolved"}


def test_a_partition_that_only_waits_for_its_turn_is_no_outage(lease: Lease) -> None:
    beat(lease, 0, waiting={"gds.metrics.production-0": ""})
    assert watch(1) == {}


def test_a_consumer_that_says_nothing_resolves_nothing(lease: Lease) -> None:
    for seconds in (0, 11):
        beat(lease, seconds, waiting={"gds.metrics.production-0": "database: locked"})
        watch(seconds)
    gone = 11 + leases.TTL.total_seconds() + 1
    assert watch(gone)["Pipeline waits"] == "firing"
    assert leases.claim(name="alerting", slot=0, holder=ELSEWHERE, now=at(gone)), "one that starts"
    assert watch(gone + 14)["Pipeline waits"] == "firing"


def test_a_consumer_that_nobody_runs_fires_after_a_while(lease: Lease) -> None:
    beat(lease, 0)
    pipelines.scale(name="alerting", consumers=3, **by())
    assert watch(1) == {"Pipeline consumers missing": "pending"}
    beat(lease, 30)
    assert watch(32) == {"Pipeline consumers missing": "firing"}
    assert Alert.objects.get().last_value == 2
    pipelines.scale(name="alerting", consumers=1, **by())
    assert watch(33) == {"Pipeline consumers missing": "resolved"}


def test_one_that_people_paused_is_as_they_want_it(lease: Lease) -> None:
    beat(lease, 0, waiting={"gds.metrics.production-0": "database: locked"})
    pipelines.pause(name="alerting", **by())
    assert watch(60) == {}


def test_its_alert_leads_to_its_page(operator: Client, lease: Lease) -> None:
    pipelines.halt(name="alerting", reason="100 of 100 failed", now=NOW)
    watch(1)
    page = operator.get(f"/alerts/{Alert.objects.get().pk}/").content.decode()
    assert '<a href="/pipelines/#pipeline-alerting">Pipeline alerting</a>' in page
    assert "every group" in operator.get("/rules/?source=pipeline").content.decode()


def test_halted_partitions_fire_with_their_names_and_the_others_consumers_are_still_wanted(
    lease: Lease,
) -> None:
    beat(lease, 0)
    store = StoredHalts("gds-alerting")
    for number in (3, 7):
        part = TopicIdPartition("gds.metrics.production", number, "topic-1", "cluster-1")
        store.save(PartitionHalt(part, 510, "500 dead letters in a row", NOW.timestamp()))
    assert watch(1) == {"Pipeline halted": "firing"}
    alert = Alert.objects.get()
    assert (alert.last_value, alert.labels) == (2, {"pipeline": "alerting", "group": "gds-alerting"})
    (event,) = AlertEvent.objects.all()
    assert event.reason.startswith("partitions 3, 7 of gds.metrics.production; 3 at offset 510: 500 dead")
    assert event.reason in encode_event(event).decode()
    gone = leases.TTL.total_seconds() + 1
    watch(gone)
    assert watch(gone + 32)["Pipeline consumers missing"] == "firing"
    pipelines.resume(name="alerting", **by())
    assert watch(gone + 33)["Pipeline halted"] == "resolved"

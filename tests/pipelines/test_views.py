"""The pipelines' page, and who may press its buttons."""

from __future__ import annotations

import time
from dataclasses import replace
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from gdsconsole.access import sync_roles
from gdsconsole.database.leases import Holder
from gdsconsole.live.publish import flush, publish
from gdsconsole.pipelines import leases, selectors, services
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from gdsconsole.pipelines.status import Kind, PipelineStatus
from gdsconsole.pipelines.views import headline
from gdsconsole.workers import marks
from tests.factories import by

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture
def login(client):
    sync_roles()

    def as_(role: str):
        user = User.objects.create_user(role)
        user.groups.add(*user.groups.model.objects.filter(name=role))
        client.force_login(user)
        return client

    return as_


@pytest.fixture(autouse=True)
def running(redis_url: str) -> None:
    services.ensure(groups={"alerting": "gds-alerting", "dlq-index": "gds-dlq-index"})
    lease = leases.claim(
        name="alerting", slot=0, holder=Holder("node-7", 4711, "elsewhere", 1.0), now=timezone.now()
    )
    counters = {"rate_in": 1234.0, "processed": 987654, "dead_letters": 3, "retries": 1, "waiting": {}}
    heartbeat = Heartbeat(PipelineConsumer.State.RUNNING, "", ["gds.metrics.production-0"], counters)
    leases.renew(lease=lease, heartbeat=heartbeat, now=timezone.now())


def test_the_page_shows_consumers_partitions_and_rates(login):
    page = login("viewer").get("/pipelines/").content.decode()
    assert "dlq-index has no running consumer." in page
    assert "gds.metrics.production-0: assigned to consumer 0" in page
    assert "1 consumer, 1 partition" in page
    assert '<a href="/lag/">Lag of gds-alerting</a>' in page
    assert "node-7:4711" in page
    assert 'data-live="pipeline.stats:alerting/0:rate_in"' in page
    assert "Pause" not in page


def test_htmx_gets_the_rows_alone(login):
    page = login("viewer").get("/pipelines/", headers={"HX-Request": "true"}).content.decode()
    assert page.startswith('<div id="pipelines"')


def test_halted_says_why(login):
    services.halt(name="alerting", reason="30 of 30 records were dead letters", now=timezone.now())
    page = login("operator").get("/pipelines/").content.decode()
    assert "alerting halted and needs you; dlq-index has no running consumer." in page
    assert "30 of 30 records were dead letters" in page
    assert 'action="/pipelines/alerting/resume/"' in page
    assert 'action="/pipelines/dlq-index/resume/"' not in page
    services.resume(name="alerting", **by())
    assert "30 of 30 records" not in login("admin").get("/pipelines/").content.decode()


def test_paused_and_waiting_say_so(login):
    client = login("operator")
    services.pause(name="alerting", **by())
    page = client.get("/pipelines/").content.decode()
    assert "Its messages wait in Kafka" in page
    assert "dlq-index has no running consumer; alerting is paused." in page
    services.resume(name="alerting", **by())
    PipelineConsumer.objects.filter(slot=0).update(
        state="retrying",
        reason="gds.metrics.production-0: OperationalError: locked",
        counters={"waiting": {"gds.metrics.production-0": "OperationalError: locked"}},
    )
    page = client.get("/pipelines/").content.decode()
    assert "alerting is retrying" in page
    assert "consumer 0, retrying: OperationalError: locked" in page
    assert 'id="stuck-alerting-gds.metrics.production-0"' in page


def test_a_reason_is_text(login):
    services.halt(name="alerting", reason="<script>x</script>", now=timezone.now())
    assert "<script>x" not in login("operator").get("/pipelines/").content.decode()


def test_an_operator_pauses_resumes_and_scales(login):
    client = login("operator")
    assert client.post("/pipelines/alerting/pause/").status_code == 302
    assert Pipeline.objects.get(name="alerting").state == "paused"
    client.post("/pipelines/alerting/resume/")
    assert Pipeline.objects.get(name="alerting").state == "running"
    client.post("/pipelines/alerting/scale/", {"consumers": 3})
    assert Pipeline.objects.get(name="alerting").consumers == 3
    client.post("/pipelines/alerting/scale/", {"consumers": 0})
    assert Pipeline.objects.get(name="alerting").consumers == 3
    assert client.post("/pipelines/warehause/pause/").status_code == 404


@pytest.mark.redis
def test_a_scale_beyond_the_processes_is_said_and_promises_nothing(login, redis_url):
    client = login("operator")
    worker = {"name": "pipelines@node-7", "host": "node-7", "pid": 4711, "queues": ("pipelines",)}
    marks.write(redis_url, marks.Mark(**worker, processes=2, answered_s=0.5, at=time.time()))
    holder = Holder("node-7", 4712, "elsewhere", 1.0, worker="pipelines@node-7")
    for slot in (1, 2):
        leases.claim(name="alerting", slot=slot, holder=holder, now=timezone.now())
    client.post("/pipelines/alerting/scale/", {"consumers": 4})
    page = " ".join(client.get("/pipelines/").content.decode().split())
    assert "scaled to 4, but only 2 of 4 consumers can run: 2 of 2 worker processes are taken" in page
    assert "runs 4 consumers in a few seconds" not in page
    assert "alerting has 3 of 4 consumers: 2 of 2 worker processes are taken" in page
    # Nor is a pipeline without any promised one.
    assert "2 of 2 worker processes are taken. A pipeline that has several" in page


@pytest.mark.parametrize("action", ["pause", "resume", "scale"])
@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_others_may_not(login, role, action):
    client = login(role)
    assert client.post(f"/pipelines/alerting/{action}/", {"consumers": 3}).status_code == 403
    assert client.get(f"/pipelines/alerting/{action}/").status_code == 405
    assert Pipeline.objects.get(name="alerting").consumers == 1


def test_what_runs_and_can_not_read_is_not_called_running(login):
    client = login("viewer")
    sampled = {"brokers": None, "expected": 3, "error": "no broker answers"}
    publish("brokers.sampled", "cluster", sampled)
    flush()
    page = client.get("/pipelines/").content.decode()
    assert "alerting is retrying: no broker answers; dlq-index has no running consumer." in page
    assert "no brokers" in page
    publish("brokers.sampled", "cluster", {"brokers": 3, "expected": 3})
    none = {"count": 0, "names": []}
    compared = {"missing": none, "drift": none, "failing": none, "absent": ["gds.metrics.production"]}
    publish("topics.compared", "declared", compared)
    flush()
    page = client.get("/pipelines/").content.decode()
    assert "alerting has nothing to read: gds.metrics.production is not on the cluster" in page
    listed = StringIO()
    call_command("pipelines", "list", stdout=listed)
    assert "has nothing to read: gds.metrics.production is not on the cluster" in listed.getvalue()


def test_a_headline_for_a_quiet_day_and_an_empty_one():
    assert headline([]).startswith("No pipeline is known yet")
    view = replace(selectors.read(now=timezone.now())[0], status=PipelineStatus(Kind.READS, "reads"))
    assert headline([view, view]) == "Every pipeline reads."
    assert headline([view]) == "alerting reads."
    halted = replace(view, state="halted")
    assert headline(
        [
            halted,
            replace(view, name="analytics"),
            replace(halted, name="warehouse"),
            replace(view, name="dlq-index", state="paused"),
        ]
    ) == ("alerting and warehouse halted and need you; dlq-index is paused.")

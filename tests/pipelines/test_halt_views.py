"""The page with the ways out of a halt, and who may take them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from gdsconsole.access import sync_roles
from gdsconsole.audit.models import AuditEntry
from gdsconsole.kafka.cluster.groups import LogRange
from gdsconsole.kafka.consuming.halts import PartitionHalt as Halt
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import services
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.models import PartitionHalt
from tests.factories import by

pytestmark = pytest.mark.django_db

TOPIC = "gds.metrics.production"
PAGE = "/pipelines/alerting/halts/"


@pytest.fixture(autouse=True)
def stands(monkeypatch) -> list[PartitionHalt]:
    services.ensure(groups={"alerting": "gds-alerting"})
    for number in (3, 4):
        part = TopicIdPartition(TOPIC, number, "topic-1", "cluster-1")
        StoredHalts("gds-alerting").save(Halt(part, 510, f"500 in a row; <b>{number}</b>", 1_768_473_000.0))
    ranges = {(TOPIC, number): LogRange(0, 600, 600) for number in (3, 4)}
    monkeypatch.setattr(skipping, "read_log_ranges", lambda *_, **__: ranges)
    return list(PartitionHalt.objects.order_by("partition"))


@pytest.fixture
def login(client):
    sync_roles()

    def as_(role: str) -> Client:
        user = User.objects.create_user(role)
        user.groups.add(*user.groups.model.objects.filter(name=role))
        client.force_login(user)
        return client

    return as_


def test_the_pipelines_page_says_which_partition_halted_where_and_why(login):
    page = login("operator").get("/pipelines/").content.decode()
    assert "2 of 2 partitions halted" in page
    assert "Partitions 3, 4 of gds.metrics.production; 3 at offset 510: 500 in a row; &lt;b&gt;3" in page
    assert 'href="/pipelines/alerting/halts/"' in page
    assert "alerting halted and needs you" in page


def test_a_viewer_sees_what_stands_and_no_button(login):
    page = login("viewer").get(PAGE).content.decode()
    assert "alerting: 2 halted partitions" in page
    assert "500 in a row; &lt;b&gt;3&lt;/b&gt;" in page
    assert f'href="/topics/{TOPIC}/messages/3/510/"' in page
    assert not [one for one in ("resume", "letter", "skip") if f'data-dialog="{one}-dialog"' in page]


def test_a_skip_is_shown_in_numbers_and_confirmed_with_them(login, stands):
    client = login("operator")
    page = client.get(f"{PAGE}?to=latest").content.decode()
    assert "180 records of 2 partitions will never be processed by gds-alerting" in page
    assert 'data-phrase="skip 180"' in page
    halt = [f"{row.pk}:510:600" for row in stands]
    assert all(f'<input type="hidden" name="halt" value="{one}">' in page for one in halt)
    answer = client.post(f"{PAGE}skip/", {"halt": halt, "reason": "bad deploy", "confirm": "skip 180"})
    assert answer.status_code == 302
    assert set(PartitionHalt.objects.values_list("decision", "skip_to")) == {("skip", 600)}
    assert AuditEntry.objects.filter(action="pipeline.skip", actor="operator").count() == 2
    page = " ".join(client.get("/pipelines/").content.decode().split())
    assert "Partition 3 skips from 510 to 600" in page


def test_one_partition_alone_is_decided_of(login, stands):
    client = login("operator")
    page = client.get(f"{PAGE}?partition={TOPIC}-4&to=offset&value=520").content.decode()
    assert 'data-phrase="skip 10"' in page
    client.post(f"{PAGE}dead-letter/", {"halt": f"{stands[1].pk}:510", "reason": "known"})
    assert [row.decision for row in PartitionHalt.objects.order_by("partition")] == ["", "dead-letter"]
    client.post(f"{PAGE}resume/", {"halt": f"{stands[0].pk}:510"})
    assert [row.decision for row in PartitionHalt.objects.order_by("partition")] == ["resume", "dead-letter"]


@pytest.mark.parametrize(
    ("decision", "halt", "reason", "why"),
    [
        ("skip", "{pk}:509:600", "x", "stands at offset 510, not 509"),
        ("skip", "{pk}:510:601", "x", "offset 601 is not between 510"),
        ("skip", "{pk}:510:510", "x", "offset 510 is not between 510"),
        ("skip", "{pk}:510:600", " ", "reason: say why"),
        ("skip", "{pk}:510", "x", "names no halted partition"),
        ("dead-letter", "{pk}:510:600", "x", "names no halted partition"),
        ("dead-letter", "{pk}:510", "", "reason: say why"),
        ("resume", "99999:510", "", "is halted no more"),
        ("resume", "999999999999999999:510", "", "is halted no more"),
        ("resume", "nonsense\x00", "", "names no halted partition"),
        ("resume", "", "", "names no halted partition"),
    ],
)
def test_what_is_not_as_it_was_shown_changes_nothing_and_says_why(login, stands, decision, halt, reason, why):
    client = login("operator")
    sent = {"halt": halt.format(pk=stands[0].pk), "reason": reason}
    answer = client.post(f"{PAGE}{decision}/", sent, follow=True)
    assert answer.status_code == 200
    assert why in answer.content.decode()
    assert not PartitionHalt.objects.exclude(decision="").exists()
    assert not AuditEntry.objects.filter(action__startswith="pipeline.").exists()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("to=offset&value=1000", "offset 1000 is not between 510"),
        ("to=offset&value=", "is none of offset:N"),
        ("to=time&value=soon", "is neither a time such as"),
        ("to=time&value=9999-12-31T23:59:59-14:00", ""),
        ("to=elsewhere", "elsewhere is not one of the available choices"),
        ("to=offset&value=%00", ""),
    ],
)
def test_a_skip_that_leads_nowhere_says_so_beside_its_field(login, query, why):
    answer = login("operator").get(f"{PAGE}?{query}")
    assert answer.status_code == 200
    assert why in answer.content.decode().replace("&#x27;", "'")
    assert "data-phrase" not in answer.content.decode()


def test_without_kafka_the_numbers_are_unknown_and_what_needs_none_is_open(login, stands, monkeypatch):
    def away(*_, **__):
        raise KafkaUnavailable("127.0.0.1:9092", "connection refused")

    monkeypatch.setattr(skipping, "read_log_ranges", away)
    client = login("operator")
    page = client.get(f"{PAGE}?to=latest").content.decode()
    assert "Kafka does not answer" in page
    assert "data-phrase" not in page
    client.post(f"{PAGE}dead-letter/", {"halt": f"{stands[0].pk}:510", "reason": "known"})
    assert PartitionHalt.objects.get(decision="dead-letter").partition == 3
    answer = client.post(f"{PAGE}skip/", {"halt": f"{stands[1].pk}:510:600", "reason": "x"}, follow=True)
    assert "Nothing was changed." in answer.content.decode()


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
@pytest.mark.parametrize("decision", ["resume", "dead-letter", "skip"])
def test_others_may_not(login, stands, role, decision):
    client = login(role)
    assert client.post(f"{PAGE}{decision}/", {"halt": f"{stands[0].pk}:510"}).status_code == 403
    assert not PartitionHalt.objects.exclude(decision="").exists()


def test_who_may_resume_alone_may_not_skip(login, stands):
    client = login("viewer")
    User.objects.get().user_permissions.add(Permission.objects.get(codename="control_pipeline"))
    assert client.post(f"{PAGE}skip/", {"halt": f"{stands[0].pk}:510:600"}).status_code == 403
    assert client.post(f"{PAGE}resume/", {"halt": f"{stands[0].pk}:510"}).status_code == 302


def test_nothing_halted_and_nothing_known(login):
    client = login("operator")
    services.resume(name="alerting", **by())
    PartitionHalt.objects.all().delete()
    assert "Nothing is halted here" in client.get(PAGE).content.decode()
    assert client.get("/pipelines/warehause/halts/").status_code == 404
    assert client.post(f"{PAGE}forget/").status_code == 404

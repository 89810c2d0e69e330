"""Payloads are shown to nobody unseen: each view, page of a list and download is an entry, and no flood."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from gdsconsole.audit import payload_views
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.verification import verify
from tests.audit.making import NOW
from tests.factories import make_dead_letter
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db

TOPIC = "gds.viewed.production"


def told() -> list[tuple[str, str, str]]:
    entries = AuditEntry.objects.filter(action__startswith="payload.").order_by("number")
    return [(entry.actor, entry.action, entry.sentence) for entry in entries]


def view(actor: str = "viewer", sentence: str = "viewed record t-0@1", minutes: float = 0) -> object:
    now = NOW + timedelta(minutes=minutes)
    return payload_views.viewed(actor=actor, sentence=sentence, target="t", target_url="/t/", now=now)


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([], ""),
        ([(0, 5)], "0@5"),
        ([(1, 3), (0, 12), (0, 13), (0, 14), (0, 20)], "0@12-14,20 1@3"),
        ([(0, 3), (0, 2), (0, 2)], "0@2-3"),
    ],
)
def test_offsets_are_told_as_ranges(places: list[tuple[int, int]], text: str) -> None:
    assert payload_views.offsets(places) == text


def test_looking_again_is_one_entry_for_ten_minutes() -> None:
    assert view()
    assert view(minutes=9) is None
    assert view(actor="operator", minutes=9)
    assert view(sentence="viewed record t-0@2", minutes=9)
    assert view(minutes=11)
    # Sentences that were cut could be of different records.
    assert view(sentence="x" * 600)
    assert view(sentence="x" * 600)
    assert verify().problems == ()


def test_a_dead_letter_is_viewed_and_downloaded(client_of: Callable[[str], Client], redis_url: str) -> None:
    letter = make_dead_letter(topic="gds.metrics.production", partition=3, offset=17)
    client, address = client_of("viewer"), f"/dlq/{letter.pk}/"
    for _ in range(3):
        assert client.get(address).status_code == 200
        assert client.get(address, headers={"HX-Request": "true"}).status_code == 200
    for _ in range(2):
        assert client.get(f"{address}value/").status_code == 200
    place = f"dead letter {letter.pk}, record gds.metrics.production-3@17"
    assert told() == [
        ("viewer", "payload.view", f"viewed {place}"),
        ("viewer", "payload.download", f"downloaded {place}"),
        ("viewer", "payload.download", f"downloaded {place}"),
    ]
    assert AuditEntry.objects.get(action="payload.view").target_url == address
    # The list shows no payload.
    client.get("/dlq/")
    assert len(told()) == 3


def test_somebody_who_may_not_sees_nothing_and_is_no_viewer(client_of: Callable[[str], Client]) -> None:
    letter = make_dead_letter()
    assert client_of("outsider").get(f"/dlq/{letter.pk}/").status_code == 403
    assert told() == []


def test_a_terminal_is_told_of_too(capsys: Any) -> None:
    letter = make_dead_letter()
    call_command("dlq", "show", str(letter.pk), "--json")
    call_command("topics", "export")
    capsys.readouterr()
    (viewer, action, sentence), exported = told()
    assert viewer.startswith("cli:")
    assert (action, sentence.startswith(f"viewed dead letter {letter.pk}, ")) == ("payload.view", True)
    assert exported[1:] == ("payload.export", "exported 0 topic definitions")


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_down_is_not_shown(client_of: Callable[[str], Client], redis_url: str) -> None:
    letter = make_dead_letter(value=b"a secret of somebody")
    client = client_of("viewer")
    blocker = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        began = time.monotonic()
        response = client.get(f"/dlq/{letter.pk}/")
        took = time.monotonic() - began
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert response.status_code == 503
    assert b"a secret of somebody" not in response.content
    assert took < 4
    assert b"a secret of somebody" in client.get(f"/dlq/{letter.pk}/").content


@pytest.mark.kafka
def test_records_and_pages_of_them(
    client_of: Callable[[str], Client], redis_url: str, kafka: Any, topic_factory: Callable[..., str]
) -> None:
    topic_factory(TOPIC, partitions=2)
    TopicDefinition.objects.create(name=TOPIC, partitions=2, replication_factor=3)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for partition, count in ((0, 4), (1, 2)):
        for number in range(count):
            producer.produce(TOPIC, json.dumps({"n": number}).encode(), partition=partition)
    assert producer.flush(20) == 0
    client, page = client_of("viewer"), f"/topics/{TOPIC}/messages/"
    for address in (page, page, f"{page}?partition=0&offset=2", f"{page}?follow=1", f"{page}?follow=1"):
        assert client.get(address).status_code == 200
    assert client.get(f"{page}0/2/").status_code == 200
    assert client.get(f"{page}0/2/value/").content == b'{"n": 2}'
    assert client.get(f"{page}0/99/").status_code == 404
    assert [(action, sentence) for _, action, sentence in told()] == [
        ("payload.view", f"read topic {TOPIC}: 0@0-3 1@0-1"),
        ("payload.view", f"read topic {TOPIC}: 0@2-3"),
        ("payload.view", f"followed topic {TOPIC}"),
        ("payload.view", f"viewed record {TOPIC}-0@2"),
        ("payload.download", f"downloaded record {TOPIC}-0@2"),
    ]


def test_views_are_no_deeds_of_the_headline(client_of: Callable[[str], Client], redis_url: str) -> None:
    client = client_of("admin")
    before = client.get("/audit/").context["headline"]
    payload_views.viewed(
        actor="x", sentence="viewed record t-0@1", target="t-0@1", target_url="/", now=timezone.now()
    )
    response = client.get("/audit/?action=payload")
    assert response.context["headline"] == before
    assert re.search(r'viewed record\s+<a\s+href="/"\s*>t-0@1</a\s*>', response.content.decode())

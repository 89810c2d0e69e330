"""No address answers 500, whatever is written into its path, its query, its form, its headers.

The addresses are those of the URL map, their words those that they read: a new one is covered as it comes.
`tests/integration/test_postgresql.py` runs this file once more, on PostgreSQL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlq import services as dlq
from dlq.models import DeadLetter, ReplayRun
from gdsconsole.access import ROLES, sync_roles
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.pipelines import services as pipelines
from tests.addresses import ODD, Address, addresses, admin_words, forms_of, words_of
from tests.factories import make_broker_sample, make_dead_letter, make_group_sample
from tests.topics.making import make_alert
from topics import seed
from topics.models import Alert

pytestmark = [pytest.mark.django_db, pytest.mark.redis, pytest.mark.timeout(600)]

# More of both than a run of the suite has time for: GDS_FUZZ=20 looks twenty times as far.
EXAMPLES = 150 * int(os.environ.get("GDS_FUZZ", "1"))
BOSS = "boss"
# Some part answers that it isn't there.
UNREADY = "readyz"
IN_PATHS = [
    "\0",
    "1" + "0" * 30,
    "9" * 19,
    "\udcff",
    "..",
    "\U0001f642 \u202e",
    "x" * 3_000,
    "-1",
    "%00",
    "a\\b",
]
CONTENT_TYPES = [
    "multipart/form-data",
    "multipart/form-data; boundary=\xff",
    "application/json",
    "text/x; charset=nope",
    "",
]
HEADERS = [
    "HX-Request",
    "HX-Current-URL",
    "HX-Target",
    "X-Forwarded-For",
    "Referer",
    "Origin",
    "Accept",
    "Accept-Language",
    "Range",
]
COOKIES = ["sessionid", "messages", "csrftoken"]

texts = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=30),
    st.integers(-(10**31), 10**31).map(str),
    st.datetimes().map(lambda at: at.isoformat() + "+23:59"),
    st.floats().map(str),
)


@dataclass(frozen=True)
class Place:
    """An address and what it reads."""

    address: Address
    usual: str
    words: tuple[str, ...]
    forms: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # where it is sent, fields and their values


@pytest.fixture
def clients(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Client]:
    """One of each thing that addresses name, somebody of each role, and who may do everything."""

    def away(*_: object, **__: object) -> None:
        raise KafkaUnavailable("nowhere", "these tests have none")

    # Waiting for a cluster at each address would take minutes.
    monkeypatch.setattr("gdsconsole.kafka.cluster.admin_client.metadata", away)
    monkeypatch.setattr("gdsconsole.kafka.cluster.metadata.metadata", away)
    sync_roles()
    seed.install_guide_definitions()
    pipelines.ensure(groups={"alerting": "gds-alerting"})
    make_group_sample(group="gds-alerting", sampled_at=timezone.now())
    make_broker_sample(sampled_at=timezone.now())
    dlq.start_replay(ids=[make_dead_letter().pk], actor="reviewer", now=datetime.now(UTC))
    make_alert()
    made = {name: Client() for name in (*ROLES, BOSS)}
    for name, client in made.items():
        user = User.objects.create_user(
            name, password="pw", is_staff=name in {"admin", BOSS}, is_superuser=name == BOSS
        )
        user.groups.set(Group.objects.filter(name=name))
        client.force_login(user)
    return made


@pytest.fixture
def places(clients: dict[str, Client]) -> list[Place]:
    """Every address with what its view looks up, and with what its page offers to send."""
    return list(found(clients[BOSS]))


def found(client: Client) -> Iterator[Place]:
    listed = admin_words()
    for address in sorted(set(addresses()), key=lambda address: address.route):
        if "logout" in address.route:
            continue
        usual = address.path(values_of(address))
        with transaction.atomic():
            words, response = words_of(client, "get", usual)
            forms: list[tuple[str, tuple[tuple[str, str], ...]]] = []
            if response.get("Content-Type", "").startswith("text/html"):
                forms = [
                    (form.action, tuple(form.fields.items()))
                    for form in forms_of(response.content.decode(), usual)
                    if form.method == "post" and "logout" not in form.action and form.fields
                ]
            if not forms and response.status_code == 405:
                sent, _ = words_of(client, "post", usual)
                forms = [(usual, tuple((word, "") for word in sent))] if sent else []
            transaction.set_rollback(True)
        words = sorted({*words, *listed.get(usual, ())})
        yield Place(address, usual, tuple(words), tuple(dict.fromkeys(forms)))


def values_of(address: Address) -> dict[str, str]:
    """What stands in the address usually: something that is there."""
    first, _, rest = address.route.partition("/")
    names = {"topics": "gds.metrics.production", "pipelines": "alerting", "lag": "gds-alerting"}
    models: dict[str, Any] = {"alerts": Alert, "dlq": ReplayRun if rest.startswith("runs/") else DeadLetter}
    if first == "admin" and rest.count("/") > 1:
        with suppress(LookupError):
            models["admin"] = apps.get_model(*rest.split("/")[:2])
    model = models.get(first)
    found = model.objects.order_by("pk").values_list("pk", flat=True).first() if model else None
    key = str(found or 1)
    return {"pk": key, "object_id": key, "name": names.get(first, key)}


def send(client: Client, method: str, *request: Any, **rest: Any) -> None:
    """Fails with whatever the view raised; what it did is undone."""
    cookies = client.cookies.copy()
    with transaction.atomic():
        response = getattr(client, method)(*request, **rest)
        assert response.status_code < 500 or UNREADY in str(request), (method, request, response.status_code)
        transaction.set_rollback(True)
    client.cookies = cookies


def as_sent(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def test_what_stands_in_a_path(clients: dict[str, Client]) -> None:
    for address in sorted(set(addresses()), key=lambda address: address.route):
        for _, name in address.names:
            # The admin's models have one code.
            for odd in IN_PATHS[: 3 if address.route.startswith("admin/") else None]:
                send(clients[BOSS], "get", address.path(values_of(address) | {name: odd}))


def test_what_stands_in_queries_forms_and_headers(clients: dict[str, Client], places: list[Place]) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def look(data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(places))
        client = clients[data.draw(st.sampled_from([BOSS, *ROLES]))]
        kinds = [
            "body",
            "header",
            "cookie",
            *["query"] * 8 * bool(place.words),
            *["form"] * 6 * bool(place.forms),
        ]
        match data.draw(st.sampled_from(kinds)):
            case "query":
                words = data.draw(st.lists(st.sampled_from(place.words), min_size=1, max_size=2, unique=True))
                query = urlencode([(word, as_sent(data.draw(texts))) for word in words])
                send(client, "get", f"{place.usual}?{query}")
            case "form":
                action, usual = data.draw(st.sampled_from(place.forms))
                fields = {name: as_sent(value) for name, value in usual}
                for word in data.draw(
                    st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2, unique=True)
                ):
                    fields[word] = as_sent(data.draw(texts))
                body = urlencode(fields)
                send(client, "post", action, body, content_type="application/x-www-form-urlencoded")
            case "body":
                body = as_sent(data.draw(texts))
                kind = data.draw(st.sampled_from(CONTENT_TYPES))
                # As it is: `post` would encode it first.
                send(client, "generic", "POST", place.usual, body, kind)
            case "header":
                value = data.draw(texts).encode("utf-8", "replace").decode("latin-1")
                send(client, "get", place.usual, headers={data.draw(st.sampled_from(HEADERS)): value})
            case "cookie":
                visitor = Client()
                visitor.cookies[data.draw(st.sampled_from(COOKIES))] = (
                    data.draw(st.sampled_from(ODD)).encode("utf-8", "replace").decode("latin-1")
                )
                send(visitor, "get", place.usual)

    look()

"""What the palette finds: anything by a part of its name, for those who may see it, and it opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.assembly.shell.search import search
from gdsconsole.pipelines import services as pipelines
from tests.assembly.overview.stored import fire, make_rule
from tests.factories import make_dead_letter, make_group_sample
from topics import seed
from topics.models.metrics import MetricSeries

pytestmark = pytest.mark.django_db
ALL: Callable[[str], bool] = lambda permission: True  # noqa: E731


@pytest.fixture(autouse=True)
def things() -> dict[str, Any]:
    now = timezone.now()
    seed.install_guide_definitions()
    pipelines.ensure(groups={"warehouse": "gds-warehouse", "alerting": "gds-alerting"})
    pipelines.pause(name="alerting", actor="olga", now=now)
    make_group_sample(group="billing # of ?", sampled_at=now)
    for metric in ("cpu_usage_percent", "memory_usage_percent"):
        MetricSeries.objects.create(
            fingerprint=metric, instance_id="billing-db-07", metric_name=metric, database_type="mongodb"
        )
    alert = fire("billing-db-07", now=now, rule=make_rule(name="CPU too high"))
    return {"alert": alert, "letter": make_dead_letter()}


def found(text: str) -> set[tuple[str, str]]:
    return {(entry.kind, entry.label) for entry in search(text, ALL)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gds.alerts", {("topic", "gds.alerts.production")}),
        ("WAREHOUSE", {("pipeline", "warehouse"), ("action", "Pause warehouse…")}),
        ("pause w", {("action", "Pause warehouse…")}),
        # One that is paused can only be resumed.
        ("pause alerting", set()),
        ("resume", {("action", "Resume alerting")}),
        ("# of", {("group", "billing # of ?")}),
        ("too high", {("rule", "CPU too high"), ("alert", "CPU too high on billing-db-07")}),
        ("-db-07", {("instance", "billing-db-07"), ("alert", "CPU too high on billing-db-07")}),
        ("", set()),
        ("   ", set()),
        ("no such thing", set()),
        ("%", set()),
        ("9" * 400, set()),
    ],
)
def test_by_a_part_of_its_name(text: str, expected: set[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_by_its_number(things: dict[str, Any]) -> None:
    assert ("dead letter", f"#{things['letter'].pk}") in found(f"#{things['letter'].pk}")
    assert ("alert", "CPU too high on billing-db-07") in found(str(things["alert"].pk))


def test_every_address_opens(client_of: Callable[[str], Client], kafka: Any, redis_url: str) -> None:
    client = client_of("admin")
    for text in ("gds", "billing", "CPU", "pause", "resume"):
        for entry in search(text, ALL):
            if entry.action:
                assert client.post(entry.action).status_code == 302, entry
            else:
                assert client.get(entry.href.partition("#")[0]).status_code == 200, entry


def test_each_finds_what_their_role_may_see(client_of: Callable[[str], Client]) -> None:
    def kinds(role: str, text: str) -> set[str]:
        answer = client_of(role).get("/palette/", {"q": text})
        assert answer.status_code == 200
        return {entry["kind"] for entry in answer.json()["entries"]}

    assert kinds("outsider", "a") == set()
    assert "action" not in kinds("viewer", "warehouse")
    assert kinds("operator", "warehouse") == {"pipeline", "action"}


def test_a_text_that_cannot_be_read_is_named(client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    for text, told in (("\0", "Null characters"), ("a" * 250, "at most 249")):
        answer = client.get("/palette/", {"q": text})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("q: ")
        assert told in answer.json()["error"]


def test_a_kind_asks_once(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(8):
        search("a", ALL)

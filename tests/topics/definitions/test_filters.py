"""The list of topics: narrowed and sorted by its address alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from gdsconsole.live import publish as live
from tests.topics.conftest import live_topic
from topics import seed
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db
METRICS, ALERTS, LOGS, REFUSED = (
    "gds.metrics.production",
    "gds.alerts.production",
    "gds.logs.production",
    "gds.metrics.dlq",
)


@pytest.fixture
def cluster(cluster_is: Callable[..., None]) -> None:
    """The dead letters' topic is missing, the logs' differs, the metrics' has one replica as declared."""
    seed.install_guide_definitions()
    TopicDefinition.objects.filter(name=METRICS).update(replication_factor=1, min_insync_replicas=1)
    there = {one.name: one for one in TopicDefinition.objects.all() if one.name != REFUSED}
    cluster_is(
        live_topic(there[METRICS]),
        live_topic(there[LOGS], config={"retention.ms": "86400000"}),
        live_topic(there[ALERTS]),
    )


def _names(client: Client, query: str) -> list[str]:
    return [row["name"] for row in client.get(f"/topics/{query}").context["rows"]]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [REFUSED, LOGS, METRICS, ALERTS]),
        ("?state=missing", [REFUSED]),
        ("?state=drift", [LOGS]),
        ("?state=checks", [METRICS]),
        ("?state=in-sync", [METRICS, ALERTS]),
        ("?state=disabled", []),
        ("?q=METRICS", [REFUSED, METRICS]),
        ("?q=metrics&state=drift", []),
        ("?sort=name", [ALERTS, LOGS, REFUSED, METRICS]),
        ("?sort=-name", [METRICS, REFUSED, LOGS, ALERTS]),
        # What nobody knows is neither the most nor the least: it comes last either way.
        ("?sort=replication", [METRICS, ALERTS, LOGS, REFUSED]),
        ("?sort=-replication", [ALERTS, LOGS, METRICS, REFUSED]),
    ],
)
def test_narrowed_and_sorted(operator: Client, query: str, expected: list[str]) -> None:
    assert _names(operator, query) == expected


@pytest.mark.usefixtures("cluster")
def test_what_is_kept_for_ever_is_kept_longest(operator: Client) -> None:
    TopicDefinition.objects.filter(name=METRICS).update(retention_ms=-1)
    TopicDefinition.objects.filter(name=ALERTS).update(retention_ms=3_600_000)
    names = _names(operator, "?sort=-retention")
    assert (names[0], names[-1]) == (METRICS, ALERTS)


@pytest.mark.redis
@pytest.mark.usefixtures("cluster")
def test_sorted_by_rate(operator: Client, redis_url: str) -> None:
    live.publish("topic.rates", ALERTS, {"rate_in": 2.0, "end_total": 5})
    live.publish("topic.rates", METRICS, {"rate_in": 40.0, "end_total": 5_000})
    live.flush()
    assert _names(operator, "?sort=-rate")[:2] == [METRICS, ALERTS]
    assert _names(operator, "?sort=rate")[:2] == [ALERTS, METRICS]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?state=broken", "state &#x27;broken&#x27;: Select a valid choice"),
        ("?sort=size", "sort &#x27;size&#x27;: Select a valid choice"),
        ("?q=" + "a" * 250, "at most 249 characters"),
        ("?q=%00", "Null characters are not allowed"),
    ],
)
def test_an_address_that_cannot_be_read_names_its_filter(operator: Client, query: str, told: str) -> None:
    page = operator.get(f"/topics/{query}").content.decode()
    assert "These filters can&#x27;t be read" in page or "These filters can't be read" in page
    assert told in page


@pytest.mark.usefixtures("cluster")
def test_each_state_that_some_topic_is_in_has_its_tab(operator: Client) -> None:
    tabs = {tab["label"]: tab["count"] for tab in operator.get("/topics/?state=drift").context["tabs"]}
    assert tabs == {"All": 4, "Missing": 1, "Drift": 1, "Failed checks": 1, "In sync": 2}

"""The counts in the navigation and the cluster's chip: as much as somebody may see, nothing invented."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from django.utils import timezone

from gdsconsole.assembly.overview.model import Comparison, Named
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.assembly.shell import navigation
from gdsconsole.assembly.shell.context import chrome
from gdsconsole.assembly.shell.navigation import Count
from tests.assembly.overview.making import make_alerts, make_brokers, make_group, make_lag, make_pipeline
from tests.assembly.overview.stored import Published, fire, run_consumer
from tests.factories import make_dead_letter

ALL = lambda permission: True  # noqa: E731


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (navigation.of_alerts(make_alerts()), ("", "warn")),
        (navigation.of_alerts(make_alerts(warning=2)), ("2", "warn")),
        (navigation.of_alerts(make_alerts(critical=1, warning=1_500)), ("1.5 k", "bad")),
        (navigation.of_letters(0), ("", "warn")),
        (navigation.of_letters(37), ("37", "warn")),
        (navigation.of_pipelines([make_pipeline()]), ("", "warn")),
        (
            navigation.of_pipelines([make_pipeline(state="paused"), make_pipeline("b", state="paused")]),
            ("2", "warn"),
        ),
        (
            navigation.of_pipelines([make_pipeline(state="halted"), make_pipeline("b", state="paused")]),
            ("2", "bad"),
        ),
        (navigation.of_lag(None), ("?", "unknown")),
        (navigation.of_lag(make_lag(make_group())), ("", "warn")),
        # What is unknown of one group is on its page, and no count of what is wrong.
        (navigation.of_lag(make_lag(make_group(status="unknown"))), ("", "warn")),
        (navigation.of_lag(make_lag(*(make_group(name, status="slow") for name in "abcde"))), ("5", "warn")),
        (navigation.of_lag(make_lag(make_group(status="stopped"))), ("1", "bad")),
        (navigation.of_brokers(None), ("?", "unknown")),
        (navigation.of_brokers(make_brokers(live=None)), ("!", "bad")),
        (navigation.of_brokers(make_brokers(live=1)), ("2", "bad")),
        (navigation.of_brokers(make_brokers()), ("", "bad")),
        (navigation.of_cluster(None), ("cluster unknown", "unknown")),
        (navigation.of_cluster(make_brokers(live=None)), ("cluster down", "bad")),
        (navigation.of_cluster(make_brokers()), ("3/3 brokers", "ok")),
        (navigation.of_cluster(make_brokers(under_replicated=4)), ("3/3 brokers", "warn")),
        (navigation.of_cluster(make_brokers(live=2)), ("2/3 brokers", "bad")),
        (navigation.of_cluster(make_brokers(live=2, expected=None)), ("2/2 brokers", "ok")),
    ],
)
def test_a_count(count: Count, expected: tuple[str, str]) -> None:
    assert (count.text, count.tone) == expected


def test_a_count_says_in_words_what_it_counts() -> None:
    assert navigation.of_alerts(make_alerts(warning=2)).title == "2 firing"
    assert navigation.of_pipelines([make_pipeline(state="halted")]).title == "pipeline alerting is halted"
    assert navigation.of_cluster(make_brokers()).title == "every broker is up, every partition replicated"


def test_topics_that_need_somebody_are_counted() -> None:
    wrong = Comparison(missing=Named(1, ["a"]), drift=Named(2, ["b", "c"]))
    count = navigation.of_topics(wrong)
    assert (count.text, count.tone) == ("3", "bad")
    assert count.title == "topic a is not on the cluster; 2 topics differ from their definitions"


@pytest.mark.redis
@pytest.mark.django_db
def test_all_of_it_for_somebody_who_may_look_at_all(redis_url: str) -> None:
    now = timezone.now()
    run_consumer("alerting", now=now)
    fire(now=now, severity="critical")
    make_dead_letter()
    Published(redis_url, now).everything()
    found = navigation.read(ALL, now=now)
    assert {name: count.text for name, count in found.counts.items()} == {
        "alerts": "1", "dead_letters": "1", "pipelines": str(len(CATALOG) - 1), "lag": "", "topics": "",
        "brokers": "",
    }  # fmt: skip
    assert found.cluster is not None
    assert found.cluster.text == "3/3 brokers"


@pytest.mark.redis
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("permission", "name"),
    [
        ("topics.view_alert", "alerts"),
        ("dlq.view_deadletter", "dead_letters"),
        ("pipelines.view_pipeline", "pipelines"),
        ("lag.view_groupsample", "lag"),
        ("topics.view_topicdefinition", "topics"),
        ("lag.view_brokersample", "brokers"),
    ],
)
def test_only_what_somebody_may_see_is_read(redis_url: str, permission: str, name: str) -> None:
    found = navigation.read(lambda one: one == permission, now=timezone.now())
    assert list(found.counts) == [name]
    assert (found.cluster is not None) == (name == "brokers")


@pytest.mark.django_db
def test_without_redis_what_is_stored_is_counted_and_the_rest_is_unknown(settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    make_dead_letter()
    found = navigation.read(ALL, now=timezone.now())
    assert {name: count.text for name, count in found.counts.items()} == {
        # No pipeline of the catalogue has a consumer.
        "alerts": "", "dead_letters": "1", "pipelines": str(len(CATALOG)), "lag": "?", "topics": "?",
        "brokers": "?",
    }  # fmt: skip
    assert found.cluster is not None
    assert found.cluster.tone == "unknown"


def test_a_page_without_navigation_reads_nothing(rf: RequestFactory) -> None:
    """No database is allowed here, so reading would fail: error pages use the same context."""
    request = rf.get("/nowhere/")
    request.user = AnonymousUser()
    assert "frame" in chrome(request)


@pytest.mark.redis
@pytest.mark.django_db
def test_an_open_page_gets_its_counts_and_chip_replaced(client: object, redis_url: str) -> None:
    client.force_login(User.objects.create_superuser("root"))  # type: ignore[attr-defined]
    make_dead_letter()
    page = client.get("/frame/").content.decode()  # type: ignore[attr-defined]
    assert 'id="nav-dead_letters" title="1 waiting for a decision" hx-swap-oob="true">1</span>' in page
    assert 'id="cluster-state"' in page
    assert "<html" not in page

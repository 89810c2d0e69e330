"""The overview's pages: who may see them, what they say, and what they cost."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gdsconsole import access
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.pipelines import services
from tests.assembly.overview.stored import Published, fire, make_rule, run_consumer
from tests.factories import make_dead_letter

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

PARTS = ("/overview/state/", "/overview/alerts/", "/overview/fleet/")


@pytest.fixture
def login(client, redis_url):
    access.sync_roles()

    def as_(role: str | None):
        user = User.objects.create_user(role or "newcomer")
        if role:
            user.groups.set([Group.objects.get(name=role)])
        client.force_login(user)
        return client

    return as_


@pytest.fixture
def published(redis_url) -> Published:
    return Published(redis_url, timezone.now())


def text_of(response) -> str:
    """A page's text as one line."""
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.mark.parametrize("path", ["/", *PARTS, "/frame/"])
@pytest.mark.parametrize("role", access.ROLES)
def test_every_role_sees_them(login, role, path):
    assert login(role).get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", *PARTS, "/frame/"])
def test_nobody_sees_them_without_logging_in(client, db, path):
    response = client.get(path)
    assert (response.status_code, response.url) == (302, f"/login/?next={path}")


@pytest.mark.parametrize("path", ["/", *PARTS])
def test_somebody_without_a_role_is_told_what_to_do(login, path):
    fire("prod-db-01", now=timezone.now())
    response = login(None).get(path)
    assert response.status_code == 403
    page = response.content.decode()
    assert "newcomer has no role yet" in page
    assert 'action="/logout/"' in page
    assert "prod-db-01" not in page


@pytest.mark.parametrize("path", ["/", *PARTS, "/frame/"])
def test_they_only_answer(login, path):
    assert login("admin").post(path).status_code == 405


def test_a_calm_page(login, published):
    now = timezone.now()
    for name in CATALOG:
        run_consumer(name, now=now, rate_in=50.0)
    published.everything()
    page = text_of(login("viewer").get("/"))
    assert (
        "All is well: no alert fires, 3 brokers up, 2 groups keeping up and 50 messages/s coming in." in page
    )
    assert "Nothing is firing" in page
    assert "prod-db-01 postgresql · production 41.5" in page


def test_a_page_of_trouble_says_the_worst_first_with_links(login, published):
    now = timezone.now()
    for name in CATALOG:
        run_consumer(name, now=now)
    services.halt(name="alerting", reason="30 of 30 records were dead letters", now=now)
    published(
        "brokers.sampled", "cluster", {"brokers": 2, "expected": 3, "under_replicated": 4, "leaderless": 0}
    )
    published("lag.sampled", "gds-alerting", {"group": "gds-alerting", "status": "slow", "total_lag": 12_000})
    fire("prod-db-01", now=now, severity="critical")
    make_dead_letter()
    page = login("viewer").get("/").content.decode()
    sentence = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert sentence is not None
    assert re.findall(r'href="([^"]+)"', sentence[1]) == [
        "/alerts/?state=firing", "/pipelines/", "/brokers/", "/brokers/", "/lag/gds-alerting/", "/dlq/",
        "/topics/",  # nobody has compared them
    ]  # fmt: skip
    assert " ".join(re.sub(r"<[^>]+>", "", sentence[1]).split()) == (
        "1 critical alert firing, pipeline alerting is halted, 1 of 3 brokers is down, "
        "4 partitions under-replicated, gds-alerting is behind by 12 k, 1 dead letter from one cause "
        "and whether the topics run as declared is unknown."
    )


def test_an_alert_says_since_when_and_who_has_it(login):
    now = timezone.now()
    taker = User.objects.create_user("olga")
    fire("prod-db-01", now=now, age_s=125, rule=make_rule(name="CPU high"))
    fire("prod-db-02", now=now, acknowledged_by=taker, acknowledged_at=now)
    fire("prod-db-03", now=now, acknowledged_at=now)
    page = text_of(login("viewer").get("/overview/alerts/"))
    assert "prod-db-01 CPU high · cpu_usage_percent 85.5 &gt; 80, now 91.4 2 m ago not acknowledged" in page
    assert "acknowledged by olga" in page
    assert "acknowledged by a deleted user" in page


@pytest.mark.parametrize(
    ("role", "may"), [("viewer", False), ("reviewer", False), ("operator", True), ("admin", True)]
)
def test_who_may_take_an_alert_can_do_it_here(login, role, may):
    alert = fire("prod-db-01", now=timezone.now())
    client = login(role)
    page = client.get("/").content.decode()
    assert ("Acknowledge (a)" in page) == may
    assert ("not acknowledged" in page) != may
    answer = client.post("/alerts/acknowledge/", {"id": alert.pk, "next": "/"})
    assert answer.status_code == (302 if may else 403)
    assert (f"acknowledged by {role}" in client.get("/overview/alerts/").content.decode()) == may


def test_what_came_from_kafka_is_text(login, published):
    hostile = '"><script>owned()</script>'
    fire(hostile, now=timezone.now())
    published.metric(hostile, "cpu_usage_percent", 1.0)
    published("lag.sampled", hostile, {"group": hostile, "status": "slow", "total_lag": 5})
    published("topic.rates", hostile, {"rate_in": 1.0})
    page = login("viewer").get("/").content.decode()
    assert "<script>owned" not in page
    assert page.count("&lt;script&gt;owned()") >= 3


def test_an_empty_console_says_what_to_do_next(login):
    run_consumer("alerting", now=timezone.now())
    page = text_of(login("viewer").get("/"))
    assert "manage.py simulate --rate 50" in page
    assert "manage.py send_metrics metrics.jsonl --topic gds.metrics.production" in page


def test_metrics_that_nothing_shows_are_not_called_unsent(login):
    now = timezone.now()
    run_consumer("alerting", now=now)
    services.pause(name="alerting", actor="olga", now=now)
    page = text_of(login("viewer").get("/overview/fleet/"))
    assert "Pipeline alerting is paused, and it is what shows them." in page
    assert "simulate" not in page


def test_without_redis_unknown_is_said_and_nothing_is_zero(login, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    page = text_of(login("viewer").get("/"))
    assert "Redis does not answer" in page
    assert "The newest metrics are unknown until it does." in page
    assert page.count("unknown msg/s") == 1
    assert "senders unknown" in page
    assert "lag unknown" in page


def test_each_part_names_the_events_that_it_reads_itself_again_for(login):
    page = login("viewer").get("/").content.decode()
    for part in PARTS:
        assert f'hx-get="{part}"' in page
    assert page.count('hx-trigger="live:changed throttle:') == 4


def test_the_parts_answer_with_themselves_alone(login):
    client = login("viewer")
    for part, identity in zip(PARTS, ("overview-state", "overview-alerts", "overview-fleet"), strict=True):
        page = client.get(part).content.decode().strip()
        assert f'id="{identity}"' in page.partition(">")[0]
        assert "<html" not in page


@pytest.mark.parametrize(
    ("path", "at_most"),
    [("/", 30), ("/overview/state/", 18), ("/overview/alerts/", 6), ("/overview/fleet/", 7), ("/frame/", 12)],
)
def test_the_database_is_asked_as_often_of_a_large_console_as_of_a_small_one(login, published, path, at_most):
    client = login("viewer")
    now = timezone.now()
    counts = []
    for size in (1, 40):
        for n in range(size):
            subject = f"db-{size}-{n}"
            taker = User.objects.create_user(subject)
            rule = make_rule(name=f"Rule of {subject}", threshold=float(n + size))
            fire(subject, now=now, rule=rule, acknowledged_by=taker, acknowledged_at=now)
            make_dead_letter(error=f"error {subject}", indexed_at=now - timedelta(minutes=n))
            published.metric(subject, "cpu_usage_percent", 1.0)
            group = {"group": subject, "status": "slow", "total_lag": n}
            published("lag.sampled", subject, group)
            services.ensure(groups={f"p-{subject}": f"g-{subject}"})
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[1] <= at_most

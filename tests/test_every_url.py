"""Who may send what to which address: one table of every URL. A URL without a row fails.

And a crawl: nobody is shown a link that leads to a refusal, or nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from confluent_kafka import Producer
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from dlq import services as dlq
from gdsconsole.access import ROLES, sync_roles
from gdsconsole.pipelines import services as pipelines
from tests.factories import make_broker_sample, make_dead_letter, make_group_sample
from tests.topics.making import make_alert
from topics import seed

pytestmark = [pytest.mark.django_db, pytest.mark.kafka, pytest.mark.redis]

ANONYMOUS, OUTSIDER = "anonymous", "outsider"
EVERY_ROLE = (ANONYMOUS, OUTSIDER, *ROLES)
METHODS = ("get", "head", "post", "put", "patch", "delete")

TOPIC = "gds.metrics.production"

ALL = frozenset(EVERY_ROLE)
SIGNED_IN = ALL - {ANONYMOUS}
VIEWERS = frozenset(ROLES)
OPERATORS = frozenset({"operator", "admin"})
REVIEWERS = frozenset({"reviewer", "admin"})
READERS = OPERATORS | REVIEWERS
ADMINS = frozenset({"admin"})
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """Who may send each method. One that nobody may send is not served at all: 405.

    `path` is the address with {alert}, {letter}, {run}; `data` what is posted; `status` what is a good
    answer beside 200 and a redirect.
    """

    path: str
    get: frozenset[str] = NOBODY
    post: frozenset[str] = NOBODY
    put: frozenset[str] = NOBODY
    other: frozenset[str] = NOBODY
    data: dict[str, str] = field(default_factory=dict)
    status: int = 200

    def allowed(self, method: str) -> frozenset[str]:
        served = {"get": self.get, "head": self.get, "post": self.post, "put": self.put}
        return served.get(method, self.other)


# By the route as the URL map writes it. The admin has a test of its own, below.
TABLE: dict[str, Row] = {
    "": Row("/", get=VIEWERS),
    "overview/state/": Row("/overview/state/", get=VIEWERS),
    "overview/alerts/": Row("/overview/alerts/", get=VIEWERS),
    "overview/fleet/": Row("/overview/fleet/", get=VIEWERS),
    # The frame of every page, the one that tells of a missing role among them.
    "frame/": Row("/frame/", get=SIGNED_IN),
    # Finds for each what their role may see: nothing, without one.
    "palette/": Row("/palette/", get=SIGNED_IN),
    "healthz": Row("/healthz", get=ALL),
    # The parts of a test's console don't all run.
    "readyz": Row("/readyz", get=ALL, status=503),
    # Whoever is signed in is sent on, whatever they send.
    "login/": Row("/login/", get=ALL, post=ALL, put=ALL, other=SIGNED_IN),
    "logout/": Row("/logout/", post=SIGNED_IN),
    # Who is signed in and not staff is told so.
    "admin/login/": Row(
        "/admin/login/",
        get=frozenset({ANONYMOUS, "admin"}),
        post=frozenset({ANONYMOUS, "admin"}),
        put=frozenset({ANONYMOUS, "admin"}),
        other=frozenset({"admin"}),
    ),
    "admin/logout/": Row("/admin/logout/", post=SIGNED_IN),
    # Leads to one's own account, whatever is sent.
    "admin/password_change/": Row(
        "/admin/password_change/", get=SIGNED_IN, post=SIGNED_IN, put=SIGNED_IN, other=SIGNED_IN
    ),
    "alerts/": Row("/alerts/", get=VIEWERS),
    "alerts/head/": Row("/alerts/head/", get=VIEWERS),
    "alerts/acknowledge/": Row("/alerts/acknowledge/", post=OPERATORS, data={"id": "{alert}"}),
    "alerts/<int:pk>/": Row("/alerts/{alert}/", get=VIEWERS),
    "alerts/<int:pk>/evidence/": Row("/alerts/{alert}/evidence/", get=VIEWERS),
    "rules/": Row("/rules/", get=VIEWERS),
    "topics/": Row("/topics/", get=VIEWERS),
    "topics/<name:name>/": Row(f"/topics/{TOPIC}/", get=VIEWERS),
    "topics/<name:name>/messages/": Row(f"/topics/{TOPIC}/messages/", get=VIEWERS),
    "topics/<name:name>/messages/<int:partition>/<int:offset>/": Row(
        f"/topics/{TOPIC}/messages/0/0/", get=VIEWERS
    ),
    "topics/<name:name>/messages/<int:partition>/<int:offset>/value/": Row(
        f"/topics/{TOPIC}/messages/0/0/value/", get=VIEWERS
    ),
    "pipelines/": Row("/pipelines/", get=VIEWERS),
    "pipelines/<slug:name>/pause/": Row("/pipelines/alerting/pause/", post=OPERATORS),
    "pipelines/<slug:name>/resume/": Row("/pipelines/alerting/resume/", post=OPERATORS),
    "pipelines/<slug:name>/scale/": Row(
        "/pipelines/alerting/scale/", post=OPERATORS, data={"consumers": "2"}
    ),
    "pipelines/<slug:name>/halts/": Row("/pipelines/alerting/halts/", get=VIEWERS),
    "pipelines/<slug:name>/halts/<slug:decision>/": Row(
        "/pipelines/alerting/halts/resume/", post=OPERATORS, data={"halt": "1:0"}
    ),
    "dlq/": Row("/dlq/", get=VIEWERS),
    "dlq/causes/": Row("/dlq/causes/", get=VIEWERS),
    "dlq/<int:pk>/": Row("/dlq/{letter}/", get=VIEWERS),
    "dlq/<int:pk>/value/": Row("/dlq/{letter}/value/", get=VIEWERS),
    "dlq/<int:pk>/replay/": Row("/dlq/{letter}/replay/", post=REVIEWERS),
    "dlq/<int:pk>/discard/": Row("/dlq/{letter}/discard/", post=REVIEWERS, data={"reason": "a test"}),
    "dlq/replay/": Row("/dlq/replay/", get=REVIEWERS, post=REVIEWERS, data={"ids": "{letter}"}),
    "dlq/discard/": Row(
        "/dlq/discard/", get=REVIEWERS, post=REVIEWERS, data={"ids": "{letter}", "reason": "a test"}
    ),
    "dlq/runs/<int:pk>/": Row("/dlq/runs/{run}/", get=VIEWERS),
    "lag/": Row("/lag/", get=VIEWERS),
    "lag/<groupname:name>/": Row("/lag/gds-alerting/", get=VIEWERS),
    "brokers/": Row("/brokers/", get=VIEWERS),
    "brokers/partitions/": Row("/brokers/partitions/", get=VIEWERS),
    "audit/": Row("/audit/", get=READERS),
    "audit/verified/": Row("/audit/verified/", get=READERS),
    "people/": Row("/people/", get=ADMINS),
    "people/new/": Row("/people/new/", get=ADMINS, post=ADMINS, data={"username": "somebody"}),
    "people/roles/": Row("/people/roles/", get=ADMINS),
    "people/roles/new/": Row("/people/roles/new/", get=ADMINS, post=ADMINS, data={"name": "night"}),
    "people/roles/<int:pk>/": Row(
        "/people/roles/{role}/", get=ADMINS, post=ADMINS, data={"name": "night shift"}
    ),
    "people/roles/<int:pk>/delete/": Row("/people/roles/{role}/delete/", post=ADMINS),
    "people/<int:pk>/": Row("/people/{person}/", get=ADMINS),
    "people/<int:pk>/change/": Row("/people/{person}/change/", post=ADMINS, data={"email": "a@example.org"}),
    "people/<int:pk>/deactivate/": Row(
        "/people/{person}/deactivate/", post=ADMINS, data={"reason": "a test"}
    ),
    "people/<int:pk>/reactivate/": Row("/people/{person}/reactivate/", post=ADMINS),
    "people/<int:pk>/sign-out/": Row("/people/{person}/sign-out/", post=ADMINS),
    "people/<int:pk>/unlock/": Row("/people/{person}/unlock/", post=ADMINS),
    "people/<int:pk>/link/": Row("/people/{person}/link/", post=ADMINS),
    "account/": Row("/account/", get=SIGNED_IN),
    # Without the old password nothing is changed.
    "account/password/": Row("/account/password/", post=SIGNED_IN, status=400),
    "account/sessions/<int:pk>/end/": Row("/account/sessions/1/end/", post=SIGNED_IN),
    "account/sessions/end-others/": Row("/account/sessions/end-others/", post=SIGNED_IN),
    "account/sessions/end-all/": Row("/account/sessions/end-all/", post=SIGNED_IN),
    # The link is what lets somebody in; this one is nobody's.
    "account/set-password/<str:uid>/<str:token>/": Row(
        "/account/set-password/MQ/c-x/", get=ALL, post=ALL, status=410
    ),
}


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    """Every route of the URL map but the admin's."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def test_every_url_has_a_row_and_every_row_a_url() -> None:
    assert sorted(routes()) == sorted(TABLE)


@pytest.fixture
def things(kafka: Any, redis_server: Any, settings: Any) -> dict[str, str]:
    """One of each thing that addresses name, by its place in them."""
    sync_roles()
    seed.install_guide_definitions()
    pipelines.ensure(groups={"alerting": "gds-alerting"})
    make_group_sample(group="gds-alerting", sampled_at=timezone.now())
    make_broker_sample(sampled_at=timezone.now())
    run = dlq.start_replay(ids=[make_dead_letter().pk], actor="reviewer", now=datetime.now(UTC)).run
    return {
        "alert": str(make_alert().pk),
        "letter": str(make_dead_letter().pk),
        "run": str(run.pk),
        "role": str(Group.objects.create(name="of this console").pk),
        "person": str(User.objects.create_user("person", password="pw").pk),
    }


@pytest.fixture
def clients(things: dict[str, str]) -> dict[str, Client]:
    made = {}
    for role in EVERY_ROLE:
        made[role] = Client()
        if role != ANONYMOUS:
            user = User.objects.create_user(role, is_staff=role == "admin")
            user.groups.set(Group.objects.filter(name=role))
            made[role].force_login(user)
    return made


def answer(client: Client, method: str, path: str, data: dict[str, str], good: int = 200) -> str:
    """What came back, in a word; whatever it did is undone."""
    with transaction.atomic():
        response = getattr(client, method)(path, data if method == "post" else None)
        transaction.set_rollback(True)
    status = response.status_code
    if status == 302 and "/login/?next=" in response["Location"]:
        return "log in"
    return {403: "refused", 405: "not served", good: "done"}.get(status) or (
        "done" if status < 400 else str(status)
    )


def expected(row: Row, method: str, role: str) -> str:
    allowed = row.allowed(method)
    if role in allowed:
        return "done"
    if role == ANONYMOUS:
        return "not served" if role in row.get else "log in"
    return "refused" if allowed else "not served"


@pytest.fixture
def record(kafka: Any, topic_factory: Callable[..., str]) -> None:
    """The first record of the topic's first partition; whoever may look finds it."""
    topic_factory(TOPIC, partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(TOPIC, b"{}", b"postgresql:prod-db-01")
    assert producer.flush(20) == 0


@pytest.mark.parametrize("route", TABLE)
def test_who_may_send_what(
    route: str, clients: dict[str, Client], things: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if "/messages/" in route:
        request.getfixturevalue("record")
    row = TABLE[route]
    path = row.path.format(**things)
    data = {name: value.format(**things) for name, value in row.data.items()}
    wanted = {(method, role): expected(row, method, role) for method in METHODS for role in EVERY_ROLE}
    got = {}
    for method, role in wanted:
        # Logging out, and in as somebody else, is undone with the cookie.
        cookies = clients[role].cookies.copy()
        got[method, role] = answer(clients[role], method, path, data, row.status)
        clients[role].cookies = cookies
    assert {key: value for key, value in got.items() if value != wanted[key]} == {}


def test_the_admin_is_for_staff_with_the_permission(clients: dict[str, Client]) -> None:
    pages = {"/admin/": True}
    user = User.objects.get(username="admin")
    for model in admin.site._registry:
        opts = model._meta
        page = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        pages[page] = user.has_perm(f"{opts.app_label}.view_{opts.model_name}")
    assert any(pages.values())
    assert not all(pages.values())
    for page, may in pages.items():
        for role in EVERY_ROLE:
            for method in ("get", "post"):
                got = answer(clients[role], method, page, {})
                if role != "admin":
                    assert got == "log in", (page, role, method)
                elif method == "get":
                    assert got == ("done" if may else "refused"), page
                else:
                    assert got in ("done", "refused"), page


LINKS = re.compile(r'(?:href|hx-get|src)="([^"]+)"')
# Answers of their own: a file to keep, and what the log-out form is for.
NOT_PAGES = ("/static/", "/logout/")


def links_of(page: str, path: str) -> set[str]:
    """The addresses of this console that a page leads to, without what stands behind a #."""
    found = {urljoin(path, unescape(link).partition("#")[0]) for link in LINKS.findall(page)}
    return {link for link in found if link.startswith("/") and not link.startswith(NOT_PAGES)}


def crawl(client: Client, start: str) -> dict[str, int]:
    """The status of all that links lead to, each path with at most three queries; the admin's with one."""
    seen: dict[str, int] = {}
    queries: dict[str, int] = {}
    waiting = [start]
    while waiting:
        link = waiting.pop()
        path = link.partition("?")[0]
        if link in seen or queries.get(path, 0) >= (1 if path.startswith("/admin/") else 3):
            continue
        queries[path] = queries.get(path, 0) + 1
        response = client.get(link)
        seen[link] = response.status_code
        if response.status_code == 302:
            waiting.append(urljoin(link, response["Location"]))
        elif response["Content-Type"].startswith("text/html"):
            waiting += sorted(links_of(response.content.decode(), path) - seen.keys())
    return seen


def test_nobody_gets_anywhere_but_to_the_log_in(clients: dict[str, Client]) -> None:
    seen = crawl(clients[ANONYMOUS], "/")
    assert {link.partition("?")[0] for link, status in seen.items() if status == 200} == {"/login/"}


def test_somebody_without_a_role_is_told_so_and_led_nowhere(clients: dict[str, Client]) -> None:
    assert crawl(clients[OUTSIDER], "/") == {"/": 403, "/account/": 200, "/frame/": 200}


@pytest.mark.parametrize("role", ROLES)
def test_no_link_leads_to_a_refusal_or_nowhere(role: str, clients: dict[str, Client]) -> None:
    seen = crawl(clients[role], "/")
    assert {link: status for link, status in seen.items() if status not in (200, 302)} == {}
    pages = {"/alerts/", "/rules/", "/topics/", "/pipelines/", "/dlq/", "/lag/", "/brokers/"}
    assert pages <= seen.keys()
    assert ("/audit/" in seen) is (role in READERS)
    assert "/account/" in seen
    assert ("/people/" in seen) is (role == "admin")
    assert ("/admin/" in seen) is (role == "admin")

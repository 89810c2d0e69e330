"""Every page there is to look at, with something on it: browser tests go through this list.

A page of the navigation is in it by itself. A page that needs a row of its own joins with a `Page`
whose `path` makes the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from dlq import services as letters
from gdsconsole.access import sync_roles
from gdsconsole.assembly.pipeline_catalog import CATALOG
from gdsconsole.assembly.shell.context import ENTRIES
from gdsconsole.kafka.consuming.halts import Decision, PartitionHalt
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.people.links import make_link
from gdsconsole.people.powers import command
from gdsconsole.pipelines import services as pipelines
from gdsconsole.pipelines.halts.store import StoredHalts
from tests.assembly.overview.stored import Published, fire, make_rule, run_consumer
from tests.factories import make_broker_sample, make_dead_letter, make_group_sample, partition_sample
from topics.seed import install_guide_definitions


@dataclass(frozen=True, slots=True)
class Page:
    """`path` is called with the database filled by `fill`, and may add to it."""

    name: str
    path: Callable[[], str]
    anonymous: bool = False


def _fixed(path: str) -> Callable[[], str]:
    return lambda: path


def _replay() -> str:
    letter = make_dead_letter()
    return f"/dlq/runs/{letters.start_replay(ids=[letter.pk], actor='olga', now=timezone.now()).run.pk}/"


def _halt() -> str:
    """Two partitions that wait for a decision, and one of which it is made."""
    store = StoredHalts("gds-warehouse")
    for number, decision in enumerate((None, None, Decision.DEAD_LETTER)):
        part = TopicIdPartition("gds.metrics.production", number, "topic-1", "cluster-1")
        store.save(PartitionHalt(part, 0, "500 dead letters in a row", timezone.now().timestamp(), decision))
    return "/pipelines/warehouse/halts/"


def _person() -> str:
    """Locked out somewhere, signed in elsewhere."""
    user = User.objects.create_user("vera", "vera@example.org", "pw")
    user.groups.set(Group.objects.filter(name="viewer"))
    for address in ("192.0.2.1", "198.51.100.9"):
        Client(REMOTE_ADDR=address).post("/login/", {"username": "vera", "password": "pw"})
    for _ in range(5):
        Client(REMOTE_ADDR="203.0.113.5").post("/login/", {"username": "vera", "password": "wrong"})
    return f"/people/{user.pk}/"


def _link() -> str:
    user = User.objects.create_user("walter")
    return make_link(actor=command(), user_id=user.pk, now=timezone.now())


NAVIGATION = [Page(entry.label, _fixed(entry.path)) for entry in ENTRIES]
OTHERS = [
    Page("log-in", _fixed("/login/"), anonymous=True),
    Page("nothing there", _fixed("/nothing/there/")),
    Page("one dead letter", lambda: f"/dlq/{make_dead_letter().pk}/"),
    Page("one replay", _replay),
    Page("one group", _fixed("/lag/gds-late/")),
    Page("one alert", lambda: fire("prod-db-09", now=timezone.now()).get_absolute_url()),
    Page("one user", _person),
    Page("a new user", _fixed("/people/new/")),
    Page("roles", _fixed("/people/roles/")),
    Page("a new role", _fixed("/people/roles/new/")),
    Page("own account", _fixed("/account/")),
    Page("a password link", _link, anonymous=True),
    Page("a link that is over", _fixed("/account/set-password/MQ/c-x/"), anonymous=True),
    Page("one topic", _fixed("/topics/gds.metrics.production/")),
    Page("one halt", _halt),
]
PAGES = [*NAVIGATION, *OTHERS]


def fill(published: Published, *, now: datetime) -> None:
    """A console in the middle of a bad day, so that every state is on some page."""
    sync_roles()
    install_guide_definitions()
    published.everything()
    someone = User.objects.create_user("olga")
    rule = make_rule(name="CPU high", severity="critical")
    fire("prod-db-01", now=now, age_s=90, rule=rule)
    fire("prod-db-02", now=now, rule=rule, acknowledged_by=someone, acknowledged_at=now)
    fire("prod-db-03", now=now, rule=make_rule(name="Slow", metric_name="query_latency_p99_ms"))
    for n in range(4):
        published.metric(f"prod-db-0{n}", "cpu_usage_percent", 60.0 + 9 * n)
    for n in range(3):
        make_dead_letter(error=f"expected a number, got {n}", indexed_at=now - timedelta(minutes=n))
    for name in CATALOG:
        run_consumer(name, now=now, rate_in=40.0)
    pipelines.pause(name="dlq-index", actor="olga", now=now)
    pipelines.halt(name="alerting", reason="30 of 30 records were dead letters", now=now)
    late = {"group": "gds-late", "status": "slow", "total_lag": 43_500}
    published("lag.sampled", "gds-late", {**late, "unknown_partitions": 1})
    for minutes in range(3):
        at = now - timedelta(minutes=minutes)
        partitions = [partition_sample(lag=43_500, committed=100, end=43_600, status="slow")]
        make_group_sample(**late, sampled_at=at, reason="not catching up", partitions=partitions)
        make_broker_sample(sampled_at=at, live=2, expected=3, under_replicated=4)
    published(
        "brokers.sampled", "cluster", {"brokers": 2, "expected": 3, "under_replicated": 4, "leaderless": 0}
    )

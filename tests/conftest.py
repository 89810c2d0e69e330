"""Real services for the tests: one Kafka cluster and one Redis a session, on free loopback ports."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import redis
import uvicorn
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.db.backends.base.operations import BaseDatabaseOperations
from django.test import Client
from django.utils import timezone

from gdsconsole import env
from gdsconsole.access import sync_roles
from gdsconsole.audit import anchors, chain, triggers
from gdsconsole.celery import app as celery_app
from gdsconsole.devstack import jars, java, ports
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout, KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.live import hub
from tests.browser import driving
from tests.kafka import raw_metadata
from tests.postgresql import PostgresqlServer
from tests.postgresql import find as find_postgresql
from tests.running_console import RunningConsole
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROKERS = 3
# A console's first start takes half a minute on two idle cores, and much longer on busy ones.
CONSOLE_TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("console") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(CONSOLE_TIMEOUT_S))


# A busy machine is no failure of the code: the session's own timeout bounds a test that hangs.
hypothesis.settings.register_profile("console", deadline=None)
hypothesis.settings.load_profile("console")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped for want of a browser or PostgreSQL has failed: nobody would see it."""
    report = yield
    needed = item.get_closest_marker("browser") or "postgresql" in getattr(item, "fixturenames", ())
    if report.skipped and os.environ.get("CI") and needed:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _audit_log_can_be_emptied() -> Iterator[None]:
    """Between two tests the database is emptied, which the audit log's triggers refuse to everybody."""
    empty = BaseDatabaseOperations.execute_sql_flush

    def without_triggers(self: BaseDatabaseOperations, sql_list: Any) -> None:
        with triggers.lifted(self.connection):
            empty(self, sql_list)
        _anchor_anew()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", without_triggers)
        yield


@pytest.fixture(autouse=True)
def _anchor_of_one_test() -> Iterator[None]:
    """What a test anchored, another's log, which begins anew, would be measured by."""
    yield
    path = anchors.path_of_log()
    if path.exists() and path.read_bytes().count(b"\n") > 1:
        _anchor_anew()


def _anchor_anew() -> None:
    anchors.path_of_log().unlink(missing_ok=True)
    anchors.append(number=0, digest=chain.START, now=timezone.now())


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector needs not walk through it after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def session_dir() -> Iterator[Path]:
    """Data of the session's services; its own, so that nothing of a console is touched."""
    made = Path(tempfile.mkdtemp(prefix="gdsconsole-services-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_session(session_dir: Path) -> Iterator[KafkaCluster]:
    """The session's brokers. Tests ask for `kafka`, which also brings back what a test stopped."""
    repository = os.environ.get("KAFKA_MAVEN_REPOSITORY") or env.STANDARD_MAVEN_REPOSITORY
    fetched = jars.fetch(repository=repository, directory=jars.cache_directory(os.environ))
    free = ports.free(3 * BROKERS)
    brokers = tuple(BrokerPorts(*free[3 * n : 3 * n + 3]) for n in range(BROKERS))
    layout = ClusterLayout(session_dir / "kafka", brokers)
    cluster = KafkaCluster(layout, java.ensure(os.environ), fetched)
    try:
        cluster.start()
        django_settings.KAFKA_BOOTSTRAP_SERVERS = cluster.bootstrap_servers
        django_settings.KAFKA_BROKER_METRICS_URLS = list(layout.metrics_urls)
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = cluster.bootstrap_servers
        os.environ["KAFKA_BROKER_METRICS_URLS"] = ",".join(layout.metrics_urls)
        yield cluster
    finally:
        for broker in cluster.brokers:
            if broker.is_running:
                broker.kill()


@pytest.fixture
def kafka(kafka_session: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three brokers, all answering: `.bootstrap_servers`, `.broker(1).kill()`, `.start()`, `.freeze()`."""
    kafka_session.restore()
    yield kafka_session
    kafka_session.restore()
    # A client that a test let go of keeps its threads until the collector finds it. Hundreds of them, woken
    # together by a broker that left, have taken both cores for half a minute.
    gc.collect()


@pytest.fixture(scope="session")
def kafka_admin(kafka_session: KafkaCluster) -> AdminClient:
    """One long-lived admin client: a collected one drops its pending futures."""
    quiet = logging.getLogger("tests.kafka_admin")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    return AdminClient({"bootstrap.servers": kafka_session.bootstrap_servers}, logger=quiet)


@pytest.fixture
def topic_factory(kafka: KafkaCluster, kafka_admin: AdminClient) -> Iterator[Callable[..., str]]:
    """`topic_factory("gds.metrics.production", partitions=3, replication=3, config={...})`.

    Makes the topic, waits until every broker knows a leader of each partition, returns its name, and deletes
    it after the test. Without a name it has one of its own.
    """
    made: list[str] = []

    def make(
        name: str | None = None,
        *,
        partitions: int = 3,
        replication: int = min(3, BROKERS),
        config: Mapping[str, str] | None = None,
    ) -> str:
        topic = name or f"gds.tests.t{uuid.uuid4().hex[:12]}"
        wanted = NewTopic(topic, partitions, replication, config=dict(config or {}))
        kafka_admin.create_topics([wanted])[topic].result(30)
        made.append(topic)
        wait_until(lambda: _is_known(kafka, topic, partitions), 30, f"each broker knows {topic}")
        return topic

    yield make
    # The controller may be the broker that a test killed.
    kafka.restore()
    for future in kafka_admin.delete_topics(made).values() if made else ():
        future.exception(30)


@pytest.fixture
def fresh_topic(topic_factory: Callable[..., str]) -> str:
    """A topic of three partitions that no other test has seen."""
    return topic_factory()


def _is_known(kafka: KafkaCluster, topic: str, partitions: int) -> bool:
    known = [raw_metadata.leaders(at.client, topic) for at in kafka.layout.ports]
    return all(len(leaders) == partitions and min(leaders) >= 0 for leaders in known)


@pytest.fixture(scope="session")
def redis_session(session_dir: Path) -> Iterator[RedisServer]:
    server = RedisServer(session_dir / "redis", ports.free(1)[0])
    server.start()
    try:
        django_settings.REDIS_URL = server.url
        django_settings.CELERY_BROKER_URL = server.url
        celery_app.conf.broker_url = server.url
        os.environ["REDIS_URL"] = server.url
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> Iterator[RedisServer]:
    """The session's Redis, empty and answering: `.url`, `.kill()`, `.start()`, `.restart()`."""
    _restore_redis(redis_session)
    _empty(redis_session)
    yield redis_session
    _restore_redis(redis_session)
    # The next test may read what is published without asking for a Redis.
    _empty(redis_session)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of a Redis that is empty at the start of the test."""
    return redis_server.url


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL of the session's own: `.create_database("name")` gives the URL of an empty one."""
    programs = find_postgresql()
    if programs is None:
        pytest.skip("no PostgreSQL here; `python -m tests.postgresql` installs one as root on Debian")
    server = PostgresqlServer(programs, ports.free(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _empty(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def _restore_redis(server: RedisServer) -> None:
    if server.process is None or server.process.poll() is not None:
        server.start()


@pytest.fixture
def subprocess_environment(request: pytest.FixtureRequest, settings: Any) -> dict[str, str]:
    """Environment in which a `manage.py` or `celery` process sees this test's database and services.

    The test needs `transactional_db`, or the other process sees none of its rows.
    """
    request.getfixturevalue("transactional_db")
    name = settings.DATABASES["default"]["NAME"]
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": f"sqlite:///{name}"}


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    """A console brought up once for the session; see RunningConsole for what it offers.

    A test that kills a part waits until it runs again, so that the next test finds all of them.
    """
    running = RunningConsole(tmp_path_factory.mktemp("console") / "var", ports.free(1)[0])
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture
def client_of(db: None) -> Callable[[str], Client]:
    """A client of somebody with this role; `anonymous` and any other word that is no role have none."""
    sync_roles()

    def make(role: str) -> Client:
        client = Client()
        if role != "anonymous":
            user = User.objects.create_user(role, password="pw", is_staff=role == "admin")
            user.groups.set(Group.objects.filter(name=role))
            client.force_login(user)
        return client

    return make


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One Chromium for the tests of a file; a longer-lived one's event loop would stop other tests."""
    with driving.chrome() as browser:
        yield browser


@pytest.fixture
def site(redis_url: str, transactional_db: None, settings: Any) -> Iterator[str]:
    """A web process of the console, sockets too, in a thread; no broker answers it."""
    from gdsconsole.asgi import application

    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    hub._hubs.clear()
    port = ports.free(1)[0]
    served = ASGIStaticFilesHandler(application)
    config = uvicorn.Config(served, port=port, log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 10, "the server listens")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    server.force_exit = True
    thread.join(10)

"""Whatever stands in Redis where the console reads: every page answers, and the workers go on and mend it.

The keys are those that the console has itself made by then, so a new one is covered as it comes. What is
Celery's own (its queues and their bindings) is not looked at here.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from gdsconsole import heartbeat
from gdsconsole.kafka.idempotent import IdempotentProcessor
from gdsconsole.kafka.partitions import TopicPartitionOffset
from gdsconsole.live import events, publish, schemas
from gdsconsole.live.recent_values import history
from gdsconsole.live.snapshots import latest_of
from lag import tasks
from lag.services import as_data
from tests.factories import make_broker_sample, make_group_sample
from tests.test_every_url import TOPIC, things  # noqa: F401  # the fixture

pytestmark = [pytest.mark.django_db, pytest.mark.kafka, pytest.mark.redis]

PAGES = [
    "/",
    "/frame/",
    "/pipelines/",
    "/lag/",
    "/lag/gds-alerting/",
    "/brokers/",
    "/audit/",
    "/topics/",
    f"/topics/{TOPIC}/",
]
CELERYS = (b"_kombu", b"unacked", b"default", b"pipelines", b"replay", b"celery")
GROUP = {"group": "gds-alerting", "state": "Stable", "status": "slow", "total_lag": 7, "topics": {TOPIC: 7}}
METRIC = {"instance_id": "prod-db-01", "database_type": "postgresql", "metric_name": "cpu", "value": 1.5}
STATS = {
    "name": "alerting",
    "slot": 0,
    "group": "gds-alerting",
    "state": "running",
    "reason": "",
    "partitions": [f"{TOPIC}-0"],
    "waiting": {f"{TOPIC}-0": "a broker is away"},
    "rate_in": 20.0,
    "rate_out": 1.0,
    "batch_ms": 3.0,
    "processed": 12,
}
VERIFIED = {"state": "intact", "entries": 1, "problems": [], "unknown": [], "took_s": 0.1}
COMPARED = {name: {"count": 1, "names": [TOPIC]} for name in ("missing", "drift", "failing")} | {"absent": []}


@pytest.fixture
def written(things: Any, redis_url: str, caplog: pytest.LogCaptureFixture) -> redis.Redis:  # noqa: F811
    """The client of a Redis that holds what a running console keeps there."""
    schemas.told.__init__()  # type: ignore[misc]
    write()
    client = redis.Redis.from_url(redis_url)
    assert {event.encode() for event in map(events.newest_key, events.EVENT_TYPES)} <= set(keys(client))
    caplog.set_level(logging.WARNING)
    return client


def write() -> None:
    """What publishers, samplers and the heartbeat write, as they do."""
    now = timezone.now()
    rates = {"topic": TOPIC, "topic_id": "t", "rate_in": 2.5, "end_total": 9, "sampled_at": now.timestamp()}
    for event_type, key, data in (
        ("pipeline.stats", "alerting/0", STATS | {"last_commit_at": now.timestamp(), "at": now.timestamp()}),
        (
            "metric.newest",
            "prod-db-01/cpu",
            METRIC | {"timestamp": now.isoformat(), "environment": "production"},
        ),
        ("lag.sampled", "gds-alerting", as_data(make_group_sample(sampled_at=now)) | GROUP),
        ("topic.rates", TOPIC, rates),
        ("topics.compared", "declared", COMPARED | {"declared": 3}),
        ("brokers.sampled", "cluster", {"brokers": 3, "expected": 3, "under_replicated": 0, "leaderless": 0}),
        ("audit.verified", "newest", VERIFIED),
        *((name, "1", {"id": 1}) for name in ("alert.changed", "deadletter.changed", "audit.recorded")),
    ):
        publish.publish(event_type, key, data)
    publish._publisher().flush()
    heartbeat.heartbeat()
    make_broker_sample(sampled_at=now)


def keys(client: redis.Redis) -> Iterator[bytes]:
    return (key for key in client.scan_iter(count=1_000) if not key.startswith(CELERYS))


def of_type(kind: str) -> Callable[[redis.Redis, bytes], None]:
    """Puts a value of this type where the key is."""
    put: dict[str, Callable[[redis.Redis, bytes], Any]] = {
        "string": lambda client, key: client.set(key, b"garbage, no JSON"),
        "bytes": lambda client, key: client.set(key, b"\xff\xfe\0"),
        "huge": lambda client, key: client.set(key, b"9" * 3_000_000),
        "list": lambda client, key: client.rpush(
            key, b"garbage", b"\xff", b"[]", b"[1e308]", b"[null,1]", b"[" * 9_000
        ),
        "set": lambda client, key: client.sadd(key, b"garbage"),
        "zset": lambda client, key: client.zadd(key, {b"garbage": 1}),
        "hash": lambda client, key: client.hset(key, mapping=hash_of_garbage()),
        "stream": lambda client, key: client.xadd(key, {"garbage": "1"}),
    }

    def replace(client: redis.Redis, key: bytes) -> None:
        client.delete(key)
        put[kind](client, key)

    return replace


def hash_of_garbage() -> dict[bytes, bytes]:
    values = [
        b"",
        b"nope",
        b"null",
        b"[]",
        b"{}",
        b'{"at":1}',
        b'{"at":1e308,"data":{}}',
        b'{"at":1,"data":[]}',
    ]
    values += [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"at":1e999,"data":{}}',
        b'{"at":1,"data":{"a":"' + b"x" * 300_000 + b'"}}',
    ]
    named = {b"%d" % number: value for number, value in enumerate(values)}
    usual = (b"cluster", b"declared", b"alerting/0", b"gds-alerting", TOPIC.encode())
    return named | {b"\xff": b"{}"} | dict.fromkeys(usual, b'{"at":4e9,"data":{}}')


def answers(client: Client) -> dict[str, int]:
    return {path: client.get(path).status_code for path in PAGES}


def assert_mended(client: redis.Redis, browser: Client) -> None:
    """The workers' next turn writes over what is wrong, and pages know again."""
    write()
    published = latest_of(list(events.EVENT_TYPES))
    assert published["lag.sampled"]
    assert published["lag.sampled"]["gds-alerting"]["total_lag"] == 7
    assert all(published.values()), published
    assert heartbeat.age_s(now=timezone.now().timestamp()) is not None
    assert "prod-db-01" in browser.get("/").content.decode()


@pytest.mark.parametrize("kind", ["string", "bytes", "huge", "list", "set", "zset", "hash", "stream"])
def test_a_value_of_another_type_in_every_key(
    kind: str, written: redis.Redis, client_of: Callable[[str], Client], caplog: pytest.LogCaptureFixture
) -> None:
    browser = client_of("admin")
    touched = list(keys(written))
    for key in touched:
        of_type(kind)(written, key)
    for _ in range(2):
        assert set(answers(browser).values()) == {200}
    assert heartbeat.age_s(now=0) is None or kind == "huge"
    told = [record.getMessage() for record in caplog.records if "can't be read" in record.getMessage()]
    # Once, not once a request.
    assert len(told) == len(set(told)) <= len(touched)
    assert told
    assert_mended(written, browser)


def test_the_samplers_go_on(written: redis.Redis) -> None:
    for name in ("groups", "brokers"):
        written.set(f"gds:lag:tick:{name}", "held by nobody, for ever")
    for key in keys(written):
        of_type("hash" if b":tick:" not in key else "list")(written, key)
    assert tasks.sample_lag() is not None
    assert tasks.sample_brokers() is not None
    publish._publisher().flush()
    assert latest_of(["brokers.sampled"])["brokers.sampled"]


def test_what_another_version_or_hand_wrote(written: redis.Redis, client_of: Callable[[str], Client]) -> None:
    """Fields of every value are of another type, left out, or beyond all bounds; names are the usual."""
    browser = client_of("admin")
    chosen = random.Random(7)
    odd: list[Any] = [
        None,
        True,
        -1,
        10**30,
        1e300,
        "x",
        "-",
        "x-9999999999",
        "\ud83d",
        [],
        [None],
        {},
        {"a": []},
    ]
    hashes = [key for key in keys(written) if written.type(key) == b"hash"]
    whole = {
        key: {field: json.loads(value) for field, value in written.hgetall(key).items()} for key in hashes
    }
    for _ in range(10):
        for key, entries in whole.items():
            for field, kept in entries.items():
                data = dict(kept["data"])
                for name in chosen.sample(sorted(data), min(2, len(data))):
                    data[name] = chosen.choice(odd)
                data.pop(chosen.choice(sorted(data)))
                changed = {"at": kept["at"], "data": data | {"new in another version": 1}}
                written.hset(key, field, json.dumps(changed))
        got = answers(browser)
        assert set(got.values()) == {200}, (got, written.hgetall("gds:live:newest:pipeline.stats"))
    assert_mended(written, browser)


def test_a_history_that_is_none_is_a_gap(written: redis.Redis) -> None:
    key = events.history_key("lag.sampled", "gds-alerting")
    written.rpush(key, b"[1,2", b"{}", b'["a",1]', b"[-1,1]", b"[1768473000.0,12]", b"[1768473005.0]")
    points = history("lag.sampled", "total_lag", ["gds-alerting"])["gds-alerting"]
    assert points[-2:] == [(1768473000.0, 12), (1768473005.0, None)]


def test_a_guard_of_records_takes_its_keys_back(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    guard = IdempotentProcessor(client, topic_id="t")
    places = [TopicPartitionOffset(TOPIC, 0, number) for number in range(8)]
    kinds = ["string", "bytes", "huge", "list", "set", "zset", "hash", "stream"]
    for place, kind in zip(places, kinds, strict=True):
        of_type(kind)(client, f"processed:{TOPIC}:0:{place.offset}".encode())
    seen: list[TopicPartitionOffset] = []
    assert guard.process(places, lambda place: place, seen.extend) == len(places)
    assert guard.process(places, lambda place: place, seen.extend) == 0
    assert seen == places

"""What the whole console promises, seen from outside: its commands, its topics and its pages."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.running_console import RunningConsole
from tests.waiting import wait_until

pytestmark = pytest.mark.console

METRICS = "gds.metrics.production"
POISON: list[bytes | None] = [
    b"not json",
    b"\xff\xfe\x00",
    None,
    b"[]",
    b"{",
    b'{"timestamp": "2026-01-15T10:30:00Z"}',
    b'{"timestamp": "today", "database_type": "postgresql", "instance_id": "a", '
    b'"metric_name": "m", "value": 1}',
    b'{"timestamp": "2026-01-15T10:30:00Z", "database_type": "postgresql", "instance_id": "a", '
    b'"metric_name": "m", "value": "high"}',
    b'{"timestamp": "2026-01-15T10:30:00Z", "database_type": "postgresql", "instance_id": "a", '
    b'"metric_name": "m", "value": NaN}',
    b'{"timestamp": "2026-01-15T10:30:00Z", "database_type": "postgresql", "instance_id": 7, '
    b'"metric_name": "m", "value": 1}',
]


def metric(instance: str, value: float) -> bytes:
    return json.dumps(
        {
            "timestamp": "2026-01-15T10:30:00Z",
            "database_type": "postgresql",
            "instance_id": instance,
            "metric_name": "cpu_usage_percent",
            "value": value,
            "tags": {"environment": "production"},
        }
    ).encode()


def alerts_of(console: RunningConsole, instance: str) -> list[dict[str, Any]]:
    return [one for one in console.json("alerts", "list") if one["subject"] == instance]


def lag_of(console: RunningConsole, group: str) -> dict[str, Any]:
    readings: list[dict[str, Any]] = console.json("lag", "--group", group)
    return readings[0]


def test_a_metric_over_its_threshold_is_an_alert_within_two_seconds(console: RunningConsole) -> None:
    sent = console.manage("send_metrics", "-", "--topic", METRICS, input=metric("prod-db-01", 85.5))
    acknowledged = time.time()
    assert json.loads(sent.stdout) == {"read": 1, "delivered": 1, "failed": 0}
    (alert,) = wait_until(lambda: alerts_of(console, "prod-db-01"), 10, "the alert is listed")
    assert alert["state"] == "firing"
    assert (alert["rule"], alert["value"]) == ("CPU high", 85.5)
    assert alert["record"]["topic"] == METRICS
    # The command takes a second to start, so the row's own time is what is held to the promise.
    changed = console.manage(
        "shell",
        "--no-imports",
        "-c",
        f"from topics.models import Alert; print(Alert.objects.get(pk={alert['id']}).created_at.timestamp())",
    )
    assert float(changed.stdout) - acknowledged < 2


def test_ten_bad_records_among_a_thousand_good_ones(console: RunningConsole) -> None:
    before = {letter["id"] for letter in console.json("dlq", "list")}
    producer = Producer({"bootstrap.servers": console.status()["kafka_bootstrap_servers"]})
    bad = list(POISON)
    hot = [f"thousand-{n}" for n in range(5)]
    for n in range(1_000):
        name = hot[n // 200] if n % 200 == 100 else f"calm-{n % 50}"
        producer.produce(METRICS, metric(name, 95.5 if name in hot else 12.5), name.encode())
        if n % 100 == 50:
            producer.produce(METRICS, bad.pop(), key=b"bad")
    assert bad == []
    assert producer.flush(30) == 0

    def is_at_the_end() -> bool:
        return all(lag_of(console, group)["total_lag"] == 0 for group in ("gds-alerting", "gds-dlq-index"))

    wait_until(is_at_the_end, 60, "both groups are at the end", every_s=0.5)
    reading = lag_of(console, "gds-alerting")
    assert reading["unknown_partitions"] == 0
    assert all(part["committed"] == part["end"] for part in reading["partitions"])
    fresh = [letter for letter in console.json("dlq", "list") if letter["id"] not in before]
    from_alerting = [letter for letter in fresh if letter["topic"] == METRICS]
    assert len({(letter["partition"], letter["offset"]) for letter in from_alerting}) == len(POISON)
    for name in hot:
        assert len(alerts_of(console, name)) == 1


def visitor(console: RunningConsole, name: str) -> Callable[[str], str]:
    """Reads pages as this demo user."""
    cookies = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

    def read(path: str, **form: str) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        with opener.open(f"{console.url}{path}", data, timeout=20) as reply:
            body: str = reply.read().decode()
        return body

    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', read("/login/"))
    assert token is not None
    read("/login/", username=name, password=console.users[name], csrfmiddlewaretoken=token[1])
    return read


def test_a_killed_broker_is_told_within_ten_seconds_alerts_and_resolves(console: RunningConsole) -> None:
    read = visitor(console, "viewer")
    wait_until(lambda: not re.search("down|unknown", headline(read("/"))), 60, "all is known", every_s=0.5)
    before = {one["id"] for one in console.json("alerts", "list")}

    def state() -> str | None:
        """Of this test's own alert; earlier ones of the rule are over."""
        fresh = [one for one in console.json("alerts", "list") if one["id"] not in before]
        return next((one["state"] for one in fresh if one["rule"] == "Under-replicated partitions"), None)

    os.kill(console.pid_of("kafka-3"), signal.SIGKILL)
    wait_until(
        lambda: "1 of 3 brokers is down" in headline(read("/")), 10, "the overview says so", every_s=0.3
    )
    wait_until(lambda: state() == "firing", 30, "it fires", every_s=0.5)
    # What is sent meanwhile arrives: two of three consumers are enough.
    sent = console.manage("send_metrics", "-", "--topic", METRICS, input=metric("while-broken", 12.5))
    assert json.loads(sent.stdout)["delivered"] == 1
    wait_until(lambda: console.status()["ready"], 90, "the broker is back", every_s=0.5)
    wait_until(lambda: state() == "resolved", 60, "it resolves", every_s=1)
    wait_until(lambda: lag_of(console, "gds-alerting")["total_lag"] == 0, 60, "nothing is behind", every_s=1)


def headline(page: str) -> str:
    found = re.search(r'id="headline".*?</h1>', page, re.DOTALL)
    assert found is not None, page[:2000]
    return re.sub(r"<[^>]+>", "", found[0])

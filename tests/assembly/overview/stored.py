"""Rows and published data as the rest of the console leaves them."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

from gdsconsole.database.leases import Holder
from gdsconsole.live import publish
from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import PipelineConsumer
from topics.models import Alert, AlertRule

_numbers = itertools.count(1)


def make_rule(**changes: Any) -> AlertRule:
    fields: dict[str, Any] = {"metric_name": "cpu_usage_percent", "threshold": 80.0}
    found = AlertRule.objects.filter(**fields | changes).first()
    return found or AlertRule.objects.create(**{"name": f"Rule {next(_numbers)}", **fields, **changes})


def fire(subject: str = "prod-db-01", *, now: datetime, age_s: float = 0, **changes: Any) -> Alert:
    """An alert that fires; `age_s` ago by the console's clock and by its samples'."""
    at = now - timedelta(seconds=age_s)
    rule = changes.pop("rule", None) or make_rule()
    fields: dict[str, Any] = {
        "rule": rule,
        "fingerprint": f"{next(_numbers):032}",
        "labels": {"instance_id": subject},
        "subject": subject,
        "state": "firing",
        "severity": rule.severity,
        "metric_name": rule.metric_name,
        "operator": rule.operator,
        "threshold": rule.threshold,
        "value": 85.5,
        "last_value": 91.4,
        "started_at": at,
        "fired_at": at,
        "last_sample_at": at,
        "changed_at": at,
    }
    return Alert.objects.create(**fields | changes)


def run_consumer(name: str, *, now: datetime, slot: int = 0, rate_in: float | None = None) -> None:
    """A consumer of a pipeline that has its lease and says how fast it reads."""
    services.ensure(groups={name: f"gds-{name}"})
    lease = leases.claim(name=name, slot=slot, holder=Holder("node-7", 4711, "elsewhere", 1.0), now=now)
    assert lease is not None
    heartbeat = Heartbeat(PipelineConsumer.State.RUNNING, "", [], {"rate_in": rate_in, "rate_out": rate_in})
    leases.renew(lease=lease, heartbeat=heartbeat, now=now)


class Published:
    """Publishes through a Redis at times of the test's choosing."""

    def __init__(self, url: str, now: datetime) -> None:
        self.now = now.timestamp()
        self._sender = publish.RedisSender(url)

    def __call__(self, event_type: str, key: str, data: dict[str, Any], *, age_s: float = 0) -> None:
        at = self.now - age_s
        publisher = publish.Publisher(lambda: self._sender, clock=lambda: at, wall=lambda: at)
        publisher.offer(event_type, key, data)
        assert publisher.step() == 1

    def metric(self, instance: str, name: str, value: float, *, age_s: float = 0) -> None:
        data = {"instance_id": instance, "database_type": "postgresql", "environment": "production"}
        self(
            "metric.newest", f"{instance}/{name}", {**data, "metric_name": name, "value": value}, age_s=age_s
        )

    def everything(self) -> None:
        """What a console that is well has published in the last seconds."""
        for n in range(3):
            self(
                "topic.rates", "gds.metrics.production", {"rate_in": 50.0, "end_total": 900}, age_s=10 - 5 * n
            )
        self("topic.rates", "gds.metrics.dlq", {"rate_in": 0.0, "end_total": 4})
        for group in ("gds-alerting", "gds-dlq-index"):
            lag = {"group": group, "status": "ok", "total_lag": 7, "unknown_partitions": 0}
            self("lag.sampled", group, lag)
        nothing = {"count": 0, "names": []}
        self(
            "topics.compared",
            "declared",
            {"declared": 4, "absent": [], "missing": nothing, "drift": nothing, "failing": nothing},
        )
        brokers = {"brokers": 3, "expected": 3, "under_replicated": 0, "leaderless": 0}
        self("brokers.sampled", "cluster", brokers)
        self.metric("prod-db-01", "cpu_usage_percent", 41.5)

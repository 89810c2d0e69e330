"""Simulated telemetry: repeatable, realistic, and wrong only on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest

from gdsconsole.kafka.errors import InvalidMessage
from topics import seed
from topics.alerting.rules import Rule, RuleBook
from topics.simulator import POISON, Clock, instance_names, telemetry
from topics.telemetry import Metric, decode_metric, default_key

START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def clock(rate: float) -> Clock:
    ticks = iter(range(10**9))
    return lambda: START + timedelta(seconds=next(ticks) / rate)


def metrics(count: int, rate: float = 100, **options: Any) -> Iterator[Metric]:
    return (decode_metric(value) for _, value in islice(telemetry(clock=clock(rate), **options), count))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = (
        list(islice(telemetry(clock=clock(100), seed=seed, poison=0.1), 2_000)) for seed in (7, 7, 8)
    )
    assert first == second
    assert first != other


def test_every_instance_reports_every_one_of_its_metrics() -> None:
    seen = {(metric.instance_id, metric.metric_name) for metric in metrics(200, instances=6)}
    assert {instance for instance, _ in seen} == set(instance_names(6))
    assert len(seen) == 6 * 9


def test_keys_keep_an_instance_together() -> None:
    for key, value in islice(telemetry(clock=clock(100)), 500):
        assert key == default_key(decode_metric(value)).encode()


def rules() -> list[Rule]:
    fields = [rule for rule in seed.default_rules() if rule.get("source", "metric") == "metric"]
    return [
        Rule(
            id=n,
            name=rule["name"],
            source="metric",
            metric_name=rule["metric_name"],
            operator=str(rule.get("operator", ">").value if "operator" in rule else ">"),
            threshold=rule["threshold"],
        )
        for n, rule in enumerate(fields)
    ]


def test_a_fleet_without_incidents_breaks_no_default_rule() -> None:
    book = RuleBook(rules())
    assert book.suspects(list(metrics(30_000, rate=50, incidents=False))) == []


@pytest.mark.parametrize("rate", [50, 1_000])
def test_incidents_break_rules_and_recover_at_any_rate(rate: int) -> None:
    """Half an hour of incidents, sampled: an instance that breaks a rule does not do so for ever."""
    by_metric = {rule.metric_name: rule for rule in rules()}
    history: dict[tuple[str, str], list[bool]] = {}
    seconds = 400
    for metric in metrics(rate * seconds, rate=rate, seed=3):
        rule = by_metric.get(metric.metric_name)
        if rule is not None:
            history.setdefault((metric.instance_id, metric.metric_name), []).append(
                rule.is_broken_by(metric.value)
            )
    broken = {series: values for series, values in history.items() if any(values)}
    assert broken
    assert len(broken) < len(history) / 2
    recovered = [series for series, values in broken.items() if (True, False) in set(pairwise(values))]
    assert recovered


def test_poison_comes_at_its_ratio_and_is_always_refused() -> None:
    refused = 0
    for _, value in islice(telemetry(clock=clock(100), poison=0.2, seed=1), 5_000):
        try:
            decode_metric(value)
        except InvalidMessage:
            refused += 1
    assert 800 < refused < 1_200


@pytest.mark.parametrize("kind", sorted(POISON))
def test_each_kind_of_poison_is_refused(kind: str) -> None:
    (metric,) = metrics(1)
    with pytest.raises(InvalidMessage):
        decode_metric(POISON[kind](metric))


@pytest.mark.parametrize(("option", "value"), [("instances", 0), ("poison", 1.5), ("poison", -0.1)])
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option}: .*{value}"):
        telemetry(clock=clock(1), **{option: value})

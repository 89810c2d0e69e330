"""What the records around an alert say of its series, and of the other metrics of its instance."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.topics.making import START, make_sample
from topics.alerting.evidence import Evidence, SeriesTrace, history_of, is_of
from topics.telemetry import Metric

LABELS = {"database_type": "postgresql", "instance_id": "prod-db-01", "environment": "production"}


def history(*metrics: Metric) -> Evidence:
    return history_of(metrics, labels=LABELS, metric_name="cpu_usage_percent", around=START)


@pytest.mark.parametrize(
    ("changes", "labels", "ours"),
    [
        ({}, LABELS, True),
        ({"instance_id": "prod-db-02"}, LABELS, False),
        ({"database_type": "mysql"}, LABELS, False),
        ({"tags": {"environment": "staging"}}, LABELS, False),
        # The environment may have come from the topic's name.
        ({"tags": {}}, LABELS, True),
        ({"tags": {"environment": "production", "mount": "/"}}, LABELS, True),
        ({}, LABELS | {"tenant_id": "acme"}, True),
        ({"tags": {"tenant_id": "initech"}}, LABELS | {"tenant_id": "acme"}, False),
        # A tag of that name is not the instance.
        ({"tags": {"instance_id": "prod-db-02"}}, LABELS, True),
        ({"instance_id": "a\0b"}, LABELS | {"instance_id": "a\N{REPLACEMENT CHARACTER}b"}, True),
    ],
)
def test_whose_sample_it_is(changes: dict[str, object], labels: dict[str, str], ours: bool) -> None:
    assert is_of(make_sample(**changes), labels) is ours


def test_its_own_values_by_time() -> None:
    found = history(make_sample(90, 2), make_sample(85, 0), make_sample(1, 1, instance_id="prod-db-02"))
    assert found.own == SeriesTrace(
        "cpu_usage_percent", [START.timestamp(), START.timestamp() + 2], [85, 90], moved=None
    )
    assert (found.others, found.left_out) == ([], 0)


def test_samples_of_another_day_are_left_out_and_counted() -> None:
    found = history(make_sample(85), make_sample(99, 86_400), make_sample(12, -86_400))
    assert list(found.own.values) == [85]
    assert found.left_out == 2


def others(name: str, before: float, after: float) -> list[Metric]:
    """A metric that wavered by 1 around `before`, and by 1 around `after` from the alert on."""
    return [
        make_sample((before if second < 0 else after) + second % 2 * 2 - 1, second, metric_name=name)
        for second in range(-30, 30)
    ]


def test_what_moved_with_it_comes_first() -> None:
    found = history(*chain(others("steady", 50, 50), others("jumped", 50, 80), others("fell", 900, 600)))
    assert [trace.metric_name for trace in found.others] == ["fell", "jumped", "steady"]
    assert found.others[1].moved == pytest.approx(30, rel=0.1)
    assert (found.others[2].moved or 0) < 2


def test_what_moved_much_later_did_not_move_with_it() -> None:
    late = [
        make_sample(50 if second < 1_000 else 90, second, metric_name="late")
        for second in range(-40, 1_500, 2)
    ]
    assert history(*late).others[0].moved == 0


def test_a_value_that_never_varied_is_not_infinitely_far() -> None:
    found = history(*[make_sample(100 if s < 0 else 101, s, metric_name="flat") for s in range(-30, 30)])
    assert found.others[0].moved == pytest.approx(1)


def test_too_little_before_says_nothing() -> None:
    found = history(*[make_sample(50, second, metric_name="new") for second in range(-5, 30)])
    assert found.others[0].moved is None


def test_a_single_sample_is_no_trend() -> None:
    assert history(make_sample(50, metric_name="once")).others == []


def test_many_points_are_thinned_and_the_newest_is_kept() -> None:
    found = history(*[make_sample(second, second / 10) for second in range(10_000)])
    assert len(found.own.times) <= 1_500
    assert found.own.values[-1] == 9_999


def test_the_part_within() -> None:
    whole = history(*[make_sample(second, second) for second in range(10)]).own
    at = START.timestamp()
    assert list(whole.within(at + 3, at + 5).values) == [3, 4, 5]
    assert list(whole.within(at + 30, at + 50).values) == []

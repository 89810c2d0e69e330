"""The environment's own numbers: typed, bounded, and named when they are wrong."""

from __future__ import annotations

import pytest

from gdsconsole import env


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> env.Warehouse:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return env.load().warehouse


def test_the_guides_batch_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    read = load(monkeypatch)
    assert (read.batch_messages, read.batch_seconds) == (100, 5.0)
    assert (read.points_days, read.minutes_days) == (7, 90)


def test_what_every_broker_and_reader_understands_is_the_default() -> None:
    read = env.load()
    assert (read.alert_events, read.group_protocol) == ("outbox", "classic")


def test_every_number_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    read = load(
        monkeypatch,
        GDS_WAREHOUSE_BATCH_MESSAGES="10000",
        GDS_WAREHOUSE_BATCH_SECONDS="0.5",
        GDS_ANALYTICS_WINDOW_SECONDS="600",
        GDS_POINTS_KEPT_DAYS="1",
        GDS_MINUTES_KEPT_DAYS="2.5",
        GDS_HOURS_KEPT_DAYS="30",
    )
    assert read == env.Warehouse(10_000, 0.5, 600.0, 1.0, 2.5, 30.0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GDS_WAREHOUSE_BATCH_MESSAGES", "10001", "a whole number from 1 to 10000"),
        ("GDS_WAREHOUSE_BATCH_MESSAGES", "0", "a whole number from 1 to 10000"),
        ("GDS_WAREHOUSE_BATCH_MESSAGES", "99.5", "a whole number from 1 to 10000"),
        ("GDS_WAREHOUSE_BATCH_MESSAGES", "", "a whole number from 1 to 10000"),
        ("GDS_WAREHOUSE_BATCH_SECONDS", "61", "a number from 0 to 60"),
        ("GDS_WAREHOUSE_BATCH_SECONDS", "nan", "a number from 0 to 60"),
        ("GDS_ANALYTICS_WINDOW_SECONDS", "an hour", "a number from 60 to 604800"),
        ("GDS_POINTS_KEPT_DAYS", "0", "a number from 0.01 to 36500"),
        ("GDS_MINUTES_KEPT_DAYS", "-1", "a number from 0.05 to 36500"),
        ("GDS_HOURS_KEPT_DAYS", "inf", "a number from 1 to 36500"),
        ("GDS_ALERT_EVENTS", "twice", "outbox or transactional"),
        ("GDS_GROUP_PROTOCOL", "KIP-848", "classic or consumer"),
        ("GDS_AUDIT_ANCHOR_DIR", "var/anchors", "an absolute path"),
    ],
)
def test_a_wrong_one_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    with pytest.raises(env.WrongEnvironment) as wrong:
        load(monkeypatch, **{name: value})
    assert str(wrong.value) == f"{name}: {value!r} is not {expected}"

"""Batches of samples against the open alerts: what would be written, and what is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from topics.alerting.evaluation import Draft, OpenAlert, OpenAlerts, Sample, Series
from topics.alerting.rules import Rule, SeriesState, Standing

START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def rule(**changes: Any) -> Rule:
    fields = {"id": 1, "name": "CPU high", "source": "metric", "metric_name": "cpu", "operator": ">"}
    return Rule(**{**fields, "threshold": 80.0, **changes})


def samples(
    *pairs: tuple[float, float | None], of: Rule | None = None, on: str = "prod-db-01"
) -> list[Sample]:
    series = Series(of or rule(), on, {"instance_id": on})
    return [Sample(series, value, START + timedelta(seconds=second)) for second, value in pairs]


def outcome(draft: Draft) -> str:
    parts = ["stored" if draft.alert_id else "new"]
    parts += ["fired"] if draft.fired_by else []
    parts += ["resolved"] if draft.resolved_by else []
    parts += ["dropped"] if draft.is_dropped else []
    return " ".join(parts) + ("" if draft.has_effect else ", no effect")


def holding(of: Rule, state: SeriesState = SeriesState.FIRING, **changes: Any) -> OpenAlerts:
    series = Series(of, "prod-db-01", {"instance_id": "prod-db-01"})
    standing = Standing(state, START, START)
    fields = {"id": 7, "subject": "prod-db-01", "metric_name": "cpu", "standing": standing}
    return OpenAlerts(
        {series.key: OpenAlert(**{**fields, "last_value": 90.0, "stored_at": START, **changes})}
    )


def drafted(ledger: OpenAlerts, batch: list[Sample]) -> list[str]:
    return [outcome(draft) for draft in ledger.draft(batch)]


def test_a_batch_is_judged_as_one_history() -> None:
    assert drafted(OpenAlerts(), samples((0, 90), (1, 95))) == ["new fired"]
    assert drafted(OpenAlerts(), samples((0, 90), (1, 10))) == ["new fired resolved"]
    assert drafted(OpenAlerts(), samples((0, 90), (1, 10), (2, 90))) == ["new fired resolved", "new fired"]
    assert drafted(OpenAlerts(), samples((0, 10), (1, None))) == []


def test_pending_that_ends_within_the_batch_is_never_written() -> None:
    waits = rule(for_s=10)
    assert drafted(OpenAlerts(), samples((0, 90), (1, 10), of=waits)) == ["new dropped, no effect"]
    assert drafted(OpenAlerts(), samples((0, 90), of=waits)) == ["new"]


def test_stored_alerts_are_moved_or_left() -> None:
    assert drafted(holding(rule()), samples((1, 95))) == ["stored, no effect"]
    assert drafted(holding(rule()), samples((1, 10))) == ["stored resolved"]
    assert drafted(holding(rule()), samples((1, 10), (2, 99))) == ["stored resolved", "new fired"]
    assert drafted(holding(rule(for_s=5), SeriesState.PENDING), samples((9, 95), of=rule(for_s=5))) == [
        "stored fired"
    ]
    assert drafted(holding(rule(for_s=5), SeriesState.PENDING), samples((1, 1), of=rule(for_s=5))) == [
        "stored dropped"
    ]


def test_series_are_apart() -> None:
    batch = samples((0, 90)) + samples((0, 90), on="prod-db-02") + samples((1, 10))
    assert drafted(OpenAlerts(), batch) == ["new fired resolved", "new fired"]


def test_drafting_changes_nothing_until_accepted() -> None:
    ledger = holding(rule())
    first, second = ledger.draft(samples((1, 10))), ledger.draft(samples((1, 10)))
    assert [outcome(draft) for draft in first] == [outcome(draft) for draft in second]
    ledger.accept(first, {}, START)
    assert ledger.alerts == {}


def test_accepting_remembers_what_was_made() -> None:
    ledger = OpenAlerts()
    drafts = ledger.draft(samples((0, 90), (1, 95)) + samples((0, 91), on="prod-db-02"))
    ledger.accept(drafts, {0: 41, 1: 42}, START)
    assert {alert.subject: (alert.id, alert.last_value) for alert in ledger.alerts.values()} == {
        "prod-db-01": (41, 95.0),
        "prod-db-02": (42, 91.0),
    }
    assert drafted(ledger, samples((2, 10))) == ["stored resolved"]


def test_a_reading_of_the_database_keeps_what_is_known_newer() -> None:
    ledger = holding(rule(), last_value=99.0)
    key = next(iter(ledger.alerts))
    stale = holding(rule(), last_value=90.0).alerts
    ledger.replace(stale)
    assert ledger.alerts[key].last_value == 99.0
    ledger.replace(holding(rule(), id=8).alerts)
    assert ledger.alerts[key].id == 8
    ledger.replace({})
    assert ledger.alerts == {}


def test_a_series_that_went_quiet_after_a_good_sample_is_due() -> None:
    keeps = rule(keep_firing_for_s=30)
    ledger = holding(keeps)
    ledger.accept(ledger.draft(samples((1, 10), of=keeps)), {}, START)
    rules = {1: keeps}
    assert ledger.quiet(rules, START + timedelta(seconds=29)) == []
    assert [alert.id for _, alert in ledger.quiet(rules, START + timedelta(seconds=30))] == [7]
    ledger.accept(ledger.draft(samples((2, 90), of=keeps)), {}, START)
    assert ledger.quiet(rules, START + timedelta(hours=1)) == []

"""What people and the reconciler do to pipelines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Heartbeat, Holder
from gdsconsole.pipelines.models import Pipeline, PipelineCopy
from tests.factories import by

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ELSEWHERE = Holder("node-7", 4711, "another kernel", 1.0)
GROUPS = {"alerting": "gds-alerting", "dlq-index": "gds-dlq-index"}
State = PipelineCopy.State


@pytest.fixture(autouse=True)
def ensured() -> None:
    services.ensure(groups=GROUPS)


def beat(slot: int = 0, *, state: State = State.RUNNING, reason: str = "", now: datetime = NOW) -> None:
    lease = leases.claim(name="alerting", slot=slot, holder=ELSEWHERE, now=now)
    heartbeat = Heartbeat(state, reason, ["gds.metrics.production-0"], {"rate_in": 12.5})
    leases.renew(lease=lease, heartbeat=heartbeat, now=now)


def listed(now: datetime = NOW) -> services.PipelineRow:
    return services.listing(now=now)[0]


def test_ensuring_again_keeps_what_people_decided():
    services.pause(name="alerting", **by())
    services.ensure(groups=GROUPS)
    assert Pipeline.objects.count() == 2
    assert Pipeline.objects.get(name="alerting").state == "paused"


def test_missing_are_the_wanted_slots_that_nobody_holds():
    services.scale(name="alerting", copies=3, **by())
    beat(1)
    assert services.missing_slots(now=NOW) == [("alerting", 0), ("alerting", 2), ("dlq-index", 0)]
    services.pause(name="alerting", **by())
    services.halt(name="dlq-index", reason="why", now=NOW)
    assert services.missing_slots(now=NOW) == []


def test_a_lease_that_is_over_is_missing():
    beat()
    later = NOW + leases.TTL + timedelta(seconds=1)
    assert ("alerting", 0) not in services.missing_slots(now=NOW)
    assert ("alerting", 0) in services.missing_slots(now=later)


def test_resuming_forgets_why_it_halted_and_the_first_reason_is_kept_until_then():
    services.halt(name="alerting", reason="first", now=NOW)
    services.halt(name="alerting", reason="second", now=NOW)
    assert (listed()["state"], listed()["reason"]) == ("halted", "first")
    services.resume(name="alerting", **by())
    assert listed()["state"] == "starting"


def test_a_listing_shows_each_wanted_copy_and_who_holds_it():
    services.scale(name="alerting", copies=2, **by())
    beat(0)
    row = listed()
    assert (row["state"], row["reason"]) == ("starting", "1 of 2 copies run")
    held, absent = row["copies"]
    assert (held["host"], held["pid"], held["rate_in"], held["partitions"]) == (
        "node-7",
        4711,
        12.5,
        ["gds.metrics.production-0"],
    )
    assert (absent["state"], absent["host"], absent["pid"], absent["rate_in"]) == (
        "stopped",
        None,
        None,
        None,
    )
    beat(1)
    assert listed()["state"] == "running"


def test_a_copy_that_is_to_stop_is_listed_until_it_has():
    services.scale(name="alerting", copies=2, **by())
    beat(1)
    services.scale(name="alerting", copies=1, **by())
    assert [copy["slot"] for copy in listed()["copies"]] == [0, 1]
    assert [copy["slot"] for copy in listed(NOW + timedelta(minutes=1))["copies"]] == [0]


def test_the_worst_copy_is_the_pipelines_state():
    services.scale(name="alerting", copies=2, **by())
    beat(0)
    beat(1, state=State.BACKOFF, reason="database: locked")
    assert (listed()["state"], listed()["reason"]) == ("backoff", "database: locked")


@pytest.mark.parametrize("copies", [0, -1, 65])
def test_a_number_of_copies_has_bounds(copies):
    with pytest.raises(services.WrongCopies, match=str(copies)):
        services.scale(name="alerting", copies=copies, **by())


def test_a_pipeline_nobody_knows_is_named_with_those_there_are():
    with pytest.raises(services.UnknownPipeline, match="'warehouse'; there are: alerting, dlq-index"):
        services.pause(name="warehouse", **by())

"""What people and the reconciler do to pipelines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gdsconsole.database.leases import Holder
from gdsconsole.pipelines import capacity, leases, services
from gdsconsole.pipelines.leases import Heartbeat
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from tests.factories import by

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ELSEWHERE = Holder("node-7", 4711, "another kernel", 1.0)
GROUPS = {"alerting": "gds-alerting", "dlq-index": "gds-dlq-index"}
State = PipelineConsumer.State


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


def start(now: datetime = NOW, *, processes: int | None = None) -> list[tuple[str, int]]:
    return capacity.place(names=GROUPS, processes=processes, now=now)


def test_missing_are_the_wanted_slots_that_nobody_holds_those_of_the_emptiest_first():
    services.scale(name="alerting", consumers=3, **by())
    beat(1)
    assert start() == [("dlq-index", 0), ("alerting", 0), ("alerting", 2)]
    assert start(processes=2) == [("dlq-index", 0), ("alerting", 0)]
    services.pause(name="alerting", **by())
    services.halt(name="dlq-index", reason="why", now=NOW)
    assert start() == []


def test_a_pipeline_that_nobody_can_start_gets_no_room():
    Pipeline.objects.create(name="of-another-version", group="gds-other")
    assert ("of-another-version", 0) not in start()


def test_a_lease_that_is_over_is_missing():
    beat()
    later = NOW + leases.TTL + timedelta(seconds=1)
    assert ("alerting", 0) not in start()
    assert ("alerting", 0) in start(later)


def hold(slot: int, *, worker: str) -> leases.Lease:
    holder = replace(ELSEWHERE, worker=worker)
    lease = leases.claim(name="alerting", slot=slot, holder=holder, now=NOW)
    assert lease is not None
    return lease


def test_where_one_took_every_process_its_last_consumer_makes_room():
    services.scale(name="alerting", consumers=3, **by())
    held = [hold(slot, worker="pipelines@node-7") for slot in range(3)]
    by_hand = Heartbeat(State.RUNNING, "", [], {})
    assert start(processes=3) == []
    told = [leases.renew(lease=lease, heartbeat=by_hand, now=NOW) for lease in held]
    assert [one.is_wanted for one in told if one] == [True, True, False]
    assert told[2].reason == "makes room for a pipeline that has no consumer"
    leases.release(lease=held[2], now=NOW)
    assert start(processes=3) == [("dlq-index", 0)]
    # Whoever takes the slot later is told nothing of the sort.
    again = hold(2, worker="pipelines@node-7")
    assert leases.renew(lease=again, heartbeat=by_hand, now=NOW).is_wanted


def test_a_consumer_that_a_command_runs_makes_no_room():
    services.scale(name="alerting", consumers=3, **by())
    for slot in range(3):
        hold(slot, worker="")
    assert start(processes=0) == []
    assert not PipelineConsumer.objects.filter(makes_room=True).exists()


def test_a_listing_says_that_no_process_is_free():
    services.scale(name="alerting", consumers=3, **by())
    for slot in range(2):
        hold(slot, worker="pipelines@node-7")
    alerting, index = services.listing(now=NOW, processes=2)
    taken = "2 of 2 worker processes are taken"
    assert (alerting["state"], alerting["reason"]) == ("running", f"2 of 3 consumers run: {taken}")
    assert (index["state"], index["reason"]) == ("starting", f"0 of 1 consumers run: {taken}")
    assert [row["short"] for row in (alerting, index)] == [taken, taken]
    for processes in (3, None):
        rows = services.listing(now=NOW, processes=processes)
        assert [(row["state"], row["short"]) for row in rows] == [("starting", ""), ("starting", "")]


def test_a_scale_beyond_the_processes_is_said():
    services.scale(name="alerting", consumers=12, **by())
    told = "11 of 12 consumers can run: 12 of 12 worker processes are taken"
    assert capacity.shortfall(name="alerting", processes=12, now=NOW) == told
    assert capacity.shortfall(name="dlq-index", processes=12, now=NOW) == ""
    assert capacity.shortfall(name="alerting", processes=13, now=NOW) == ""
    assert capacity.shortfall(name="alerting", processes=None, now=NOW) == ""


def test_resuming_forgets_why_it_halted_and_the_first_reason_is_kept_until_then():
    services.halt(name="alerting", reason="first", now=NOW)
    services.halt(name="alerting", reason="second", now=NOW)
    assert (listed()["state"], listed()["reason"]) == ("halted", "first")
    services.resume(name="alerting", **by())
    assert listed()["state"] == "starting"


def test_a_listing_shows_each_wanted_consumer_and_who_holds_it():
    services.scale(name="alerting", consumers=2, **by())
    beat(0)
    row = listed()
    assert (row["state"], row["reason"]) == ("starting", "1 of 2 consumers run")
    held, absent = row["consumers"]
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


def test_a_consumer_that_is_to_stop_is_listed_until_it_has():
    services.scale(name="alerting", consumers=2, **by())
    beat(1)
    services.scale(name="alerting", consumers=1, **by())
    assert [consumer["slot"] for consumer in listed()["consumers"]] == [0, 1]
    assert [consumer["slot"] for consumer in listed(NOW + timedelta(minutes=1))["consumers"]] == [0]


def test_the_worst_consumer_is_the_pipelines_state():
    services.scale(name="alerting", consumers=2, **by())
    beat(0)
    beat(1, state=State.RETRYING, reason="database: locked")
    assert (listed()["state"], listed()["reason"]) == ("retrying", "database: locked")


@pytest.mark.parametrize("consumers", [0, -1, 65])
def test_a_number_of_consumers_has_bounds(consumers):
    with pytest.raises(services.WrongConsumers, match=str(consumers)):
        services.scale(name="alerting", consumers=consumers, **by())


def test_a_pipeline_nobody_knows_is_named_with_those_there_are():
    with pytest.raises(services.UnknownPipeline, match="'warehouse'; there are: alerting, dlq-index"):
        services.pause(name="warehouse", **by())


def test_what_a_pipeline_writes_is_what_the_catalogue_says_now():
    services.ensure(groups=GROUPS, writes={"alerting": "alert events"})
    services.ensure(groups=GROUPS)
    assert Pipeline.objects.get(name="alerting").writes == "alert events"
    services.ensure(groups=GROUPS, writes={"alerting": "notices"})
    assert Pipeline.objects.get(name="alerting").writes == "notices"

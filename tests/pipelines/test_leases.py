"""One holder for each slot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from gdsconsole.database.leases import Holder, is_dead, this_process
from gdsconsole.live.publish import flush, publish
from gdsconsole.pipelines import capacity, leases, services
from gdsconsole.pipelines.leases import Heartbeat, Lease
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from tests.factories import by
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ELSEWHERE = Holder("node-7", 4711, "another kernel", 1.0)
BEAT = Heartbeat(PipelineConsumer.State.RUNNING, "", ["gds.metrics.production-0"], {"processed": 7})


@pytest.fixture(autouse=True)
def alerting() -> Pipeline:
    return Pipeline.objects.create(name="alerting", group="gds-alerting", consumers=2)


def claim(*, holder: Holder = ELSEWHERE, now: datetime = NOW, slot: int = 0) -> Lease | None:
    return leases.claim(name="alerting", slot=slot, holder=holder, now=now)


def row(slot: int = 0) -> PipelineConsumer:
    return PipelineConsumer.objects.get(slot=slot)


def test_a_slot_has_one_holder():
    first = claim()
    assert first is not None
    assert claim() is None
    assert claim(slot=1) is not None
    assert (row().host, row().pid, row().state) == ("node-7", 4711, "starting")


def test_a_lease_that_is_over_is_taken_and_its_old_holder_finds_out():
    first = claim()
    later = NOW + leases.TTL + timedelta(seconds=1)
    second = claim(now=later)
    assert second.token > first.token
    assert leases.renew(lease=first, heartbeat=BEAT, now=later) is None
    assert not leases.release(lease=first, now=later)
    assert leases.renew(lease=second, heartbeat=BEAT, now=later).is_wanted


def test_a_renewal_extends_the_lease_and_leaves_a_heartbeat():
    lease = claim()
    for seconds in range(3, 60, 3):
        assert leases.renew(lease=lease, heartbeat=BEAT, now=NOW + timedelta(seconds=seconds)).is_wanted
    assert claim(now=NOW + timedelta(seconds=65)) is None
    assert (row().state, row().partitions, row().counters) == (
        "running",
        ["gds.metrics.production-0"],
        {"processed": 7},
    )


def test_a_late_renewal_is_good_while_nobody_took_the_slot():
    lease = claim()
    assert leases.renew(lease=lease, heartbeat=BEAT, now=NOW + timedelta(minutes=5)).is_wanted


def test_a_released_slot_is_free_at_once():
    lease = claim()
    assert leases.release(lease=lease, now=NOW, reason="drained")
    assert claim() is not None
    assert leases.renew(lease=lease, heartbeat=BEAT, now=NOW) is None


def test_a_holder_of_this_machine_that_is_gone_makes_way_at_once():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = replace(this_process(), pid=process.pid, pid_started=psutil.Process(process.pid).create_time())
    assert claim(holder=here) is not None
    assert claim() is None
    process.kill()
    process.wait()
    assert claim() is not None


def test_another_process_with_the_holders_number_is_not_the_holder():
    assert claim(holder=replace(this_process(), pid_started=1.0)) is not None
    assert is_dead(row())


def test_of_a_process_elsewhere_nothing_is_known():
    assert claim(holder=replace(ELSEWHERE, pid=os.getpid())) is not None
    assert not is_dead(row())


@pytest.mark.parametrize(
    ("change", "slot", "wanted", "reason"),
    [
        (lambda: None, 0, True, ""),
        (lambda: services.pause(name="alerting", **by()), 0, False, "paused"),
        (lambda: services.halt(name="alerting", reason="all poison", now=NOW), 0, False, "halted"),
        (lambda: services.scale(name="alerting", consumers=1, **by()), 1, False, "scaled to 1"),
        (lambda: services.scale(name="alerting", consumers=1, **by()), 0, True, ""),
    ],
)
def test_a_renewal_says_what_is_wanted(change, slot, wanted, reason):
    lease = claim(slot=slot)
    change()
    desired = leases.renew(lease=lease, heartbeat=BEAT, now=NOW)
    assert (desired.is_wanted, desired.reason) == (wanted, reason)


def lapsed(
    holder: Holder, *, heard: datetime | None = None, after: timedelta = timedelta(seconds=24)
) -> tuple[bool, str, str]:
    """Of a lease that nobody renewed for a while: whether its holder waits, and how the pipeline is told."""
    services.scale(name="alerting", consumers=1, **by())
    lease = claim(holder=holder)
    assert lease is not None
    leases.renew(lease=lease, heartbeat=BEAT, now=NOW)
    listed = services.listing(now=NOW + after)[0]
    waits = leases.has_lapsed(row(), now=NOW + after, heard=lambda: heard)
    return waits, listed["state"], listed["reason"]


def test_a_holder_that_lives_and_can_not_renew_waits_for_the_database() -> None:
    assert lapsed(this_process()) == (True, "retrying", services.WAITS_FOR_DATABASE)
    # Whoever starts what is missing tries all the same: it can't be known to come back.
    assert capacity.place(names=["alerting"], processes=None, now=NOW + timedelta(seconds=24)) == [
        ("alerting", 0)
    ]


def test_while_the_lease_runs_there_is_nothing_to_tell() -> None:
    assert lapsed(this_process(), after=timedelta(seconds=9))[:2] == (False, "running")


def test_a_holder_that_died_waits_for_nothing() -> None:
    here = this_process()
    assert lapsed(replace(here, pid_started=here.pid_started - 500))[:2] == (False, "starting")


def test_a_frozen_holder_does_not_wait_it_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        child.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED, 10, "it is stopped")
        here = this_process()
        frozen = replace(here, pid=child.pid, pid_started=psutil.Process(child.pid).create_time())
        assert lapsed(frozen)[0] is False
        child.kill()


def test_of_a_holder_elsewhere_it_is_known_by_what_it_says() -> None:
    spoke = NOW + timedelta(seconds=22)
    assert lapsed(ELSEWHERE, heard=spoke)[0] is True
    assert not leases.has_lapsed(row(), now=NOW + timedelta(seconds=24), heard=lambda: NOW)


@pytest.mark.redis
def test_what_a_holder_elsewhere_says_is_read_from_redis(redis_url: str) -> None:
    now = datetime.now(UTC)
    claim(holder=ELSEWHERE, now=now - timedelta(seconds=24))
    publish("pipeline.stats", "alerting/0", {"state": "retrying", "reason": "locked"})
    flush()
    assert services.listing(now=now)[0]["consumers"][0]["reason"] == services.WAITS_FOR_DATABASE

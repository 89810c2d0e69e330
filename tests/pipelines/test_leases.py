"""One holder for each slot."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from gdsconsole.pipelines import leases, services
from gdsconsole.pipelines.leases import Heartbeat, Holder, Lease
from gdsconsole.pipelines.models import Pipeline, PipelineCopy
from tests.factories import by

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ELSEWHERE = Holder("node-7", 4711, "another kernel", 1.0)
BEAT = Heartbeat(PipelineCopy.State.RUNNING, "", ["gds.metrics.production-0"], {"processed": 7})


@pytest.fixture(autouse=True)
def alerting() -> Pipeline:
    return Pipeline.objects.create(name="alerting", group="gds-alerting", copies=2)


def claim(*, holder: Holder = ELSEWHERE, now: datetime = NOW, slot: int = 0) -> Lease | None:
    return leases.claim(name="alerting", slot=slot, holder=holder, now=now)


def row(slot: int = 0) -> PipelineCopy:
    return PipelineCopy.objects.get(slot=slot)


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
    here = replace(
        leases.this_process(), pid=process.pid, pid_started=psutil.Process(process.pid).create_time()
    )
    assert claim(holder=here) is not None
    assert claim() is None
    process.kill()
    process.wait()
    assert claim() is not None


def test_another_process_with_the_holders_number_is_not_the_holder():
    assert claim(holder=replace(leases.this_process(), pid_started=1.0)) is not None
    assert leases.is_dead(row())


def test_of_a_process_elsewhere_nothing_is_known():
    assert claim(holder=replace(ELSEWHERE, pid=os.getpid())) is not None
    assert not leases.is_dead(row())


@pytest.mark.parametrize(
    ("change", "slot", "wanted", "reason"),
    [
        (lambda: None, 0, True, ""),
        (lambda: services.pause(name="alerting", **by()), 0, False, "paused"),
        (lambda: services.halt(name="alerting", reason="all poison", now=NOW), 0, False, "halted"),
        (lambda: services.scale(name="alerting", copies=1, **by()), 1, False, "scaled to 1"),
        (lambda: services.scale(name="alerting", copies=1, **by()), 0, True, ""),
    ],
)
def test_a_renewal_says_what_is_wanted(change, slot, wanted, reason):
    lease = claim(slot=slot)
    change()
    desired = leases.renew(lease=lease, heartbeat=BEAT, now=NOW)
    assert (desired.is_wanted, desired.reason) == (wanted, reason)

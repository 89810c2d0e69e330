"""One consumer from its lease to its release, with a runtime and a clock that tests control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError

from gdsconsole.database.leases import Holder
from gdsconsole.kafka.errors import FencedError, MemberNotReleased
from gdsconsole.kafka.status import ConsumerSnapshot, ConsumerState
from gdsconsole.pipelines import capacity, leases, services
from gdsconsole.pipelines.consumer import ConsumerLoop, Outcome
from gdsconsole.pipelines.models import Pipeline, PipelineConsumer
from tests.factories import by

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
HERE = Holder("node-1", 1, "some kernel", 1.0)
OTHER = Holder("node-2", 2, "another kernel", 1.0)


class Runtime:
    """Counts what it is asked for. `during` is called in every turn."""

    def __init__(self) -> None:
        self.halted: str | None = None
        self.turns = 0
        self.closed: list[bool] = []
        self.topics: list[str] = []
        self.nudges = 0
        self.partitions = ["t-0"]
        self.during: Callable[[], None] = lambda: None

    def subscribe(self, topics: Sequence[str]) -> None:
        self.topics = list(topics)

    def run_once(self) -> int:
        self.turns += 1
        self.during()
        return 0

    def retry_now(self) -> None:
        self.nudges += 1

    def snapshot(self) -> ConsumerSnapshot:
        return ConsumerSnapshot(
            state=ConsumerState.RUNNING,
            reason="",
            partitions=self.partitions,
            waiting={},
            halted={},
            counters={"processed": self.turns, "dead_letters": 0},
            rate_in=12.5,
            rate_out=0.5,
            batch_s=0.0042,
            batch_limit=500,
            last_commit_at=None,
            at=0.0,
        )

    def close(self, *, commit: bool) -> None:
        self.closed.append(commit)


class Lab:
    def __init__(self) -> None:
        Pipeline.objects.create(name="alerting", group="gds-alerting")
        self.now = START
        self.runtime = Runtime()
        self.reason = ""
        self.topics = ["gds.metrics.production"]
        self.published: list[tuple[str, dict[str, Any]]] = []
        lease = leases.claim(name="alerting", slot=0, holder=HERE, now=self.now)
        assert lease is not None
        self.loop = ConsumerLoop(
            lease=lease,
            group="gds-alerting",
            pipeline=self.runtime,
            topics=lambda: self.topics,
            stop=lambda: self.reason,
            publish=lambda kind, key, data: self.published.append((f"{kind} {key}", data)),
            clock=lambda: self.now,
        )

    def turns(self, count: int, *, every_s: float = 0.5) -> None:
        for _ in range(count):
            self.loop.step()
            self.now += timedelta(seconds=every_s)

    def run(self) -> Outcome:
        """To the end; a test arranges for one."""
        earlier = self.runtime.during

        def tick() -> None:
            self.now += timedelta(seconds=0.5)
            assert self.runtime.turns < 1000, "nothing ended it"
            earlier()

        self.runtime.during = tick
        return self.loop.run()

    @property
    def row(self) -> PipelineConsumer:
        return PipelineConsumer.objects.get()


@pytest.fixture
def lab() -> Lab:
    return Lab()


def at_turn(lab: Lab, number: int, act: Callable[[], object]) -> None:
    def during() -> None:
        if lab.runtime.turns == number:
            act()

    lab.runtime.during = during


def test_it_renews_every_three_seconds_and_publishes_every_second(lab):
    lab.turns(21)
    assert lab.row.heartbeat_at == START + timedelta(seconds=9)
    assert lab.row.state == "running"
    assert lab.row.counters["rate_in"] == 12.5
    assert len(lab.published) == 11
    name, stats = lab.published[-1]
    assert name == "pipeline.stats alerting/0"
    assert stats["processed"] == 21
    assert (stats["rate_in"], stats["rate_out"]) == (12.5, 0.5)
    assert stats["batch_ms"] == 4.2
    assert stats["at"] == (START + timedelta(seconds=10)).timestamp()


def test_who_holds_what_is_in_its_row_within_a_second_of_a_change(lab):
    lab.turns(2)
    lab.runtime.partitions = ["gds.metrics.production-7"]
    lab.turns(1)
    assert lab.row.partitions == ["t-0"]
    lab.turns(1)
    assert lab.row.partitions == ["gds.metrics.production-7"]
    assert lab.row.heartbeat_at == START + timedelta(seconds=1.5)


def test_a_changed_list_of_topics_is_read_within_seconds(lab):
    lab.turns(1)
    lab.topics = ["gds.metrics.production", "gds.metrics.staging"]
    lab.turns(7)
    assert lab.runtime.topics == lab.topics


def test_asked_to_stop_it_commits_closes_and_frees_the_slot(lab):
    at_turn(lab, 5, lambda: setattr(lab, "reason", "the worker is stopping"))
    assert lab.run() is Outcome.DRAINED
    assert lab.runtime.turns == 5
    assert lab.runtime.closed == [True]
    assert not lab.row.is_held(lab.now)
    assert lab.published[-1][1]["state"] == "stopped"
    assert lab.published[-1][1]["rate_in"] is None
    assert lab.published[-1][1]["rate_out"] is None


@pytest.mark.parametrize(
    "change", [partial(services.pause, **by()), lambda name: services.halt(name=name, reason="x", now=START)]
)
def test_not_wanted_any_more_it_drains(lab, change):
    at_turn(lab, 2, lambda: change(name="alerting"))
    assert lab.run() is Outcome.UNWANTED
    assert lab.runtime.turns <= 8
    assert lab.runtime.closed == [True]


def test_replaced_it_stops_at_once_and_commits_nothing(lab):
    def replace_it() -> None:
        lab.now += timedelta(minutes=1)
        assert leases.claim(name="alerting", slot=0, holder=OTHER, now=lab.now)

    at_turn(lab, 5, replace_it)
    assert lab.run() is Outcome.REPLACED
    assert lab.runtime.turns == 5
    assert lab.runtime.closed == [False]
    assert lab.row.host == "node-2"
    assert lab.row.is_held(lab.now)


def test_a_member_that_was_fenced_commits_nothing(lab):
    def fenced() -> None:
        raise FencedError("Static consumer fenced by other consumer")

    at_turn(lab, 3, fenced)
    assert lab.run() is Outcome.REPLACED
    assert lab.runtime.closed == [False]


def test_a_place_that_is_not_free_yet_is_left_for_a_later_try(lab):
    def refused() -> None:
        raise MemberNotReleased("the group still holds the place of this slot's last consumer")

    at_turn(lab, 1, refused)
    assert lab.run() is Outcome.NOT_YET
    assert lab.runtime.closed == [False]
    assert lab.row.reason == "the group still holds the place of this slot's last consumer"
    assert not lab.row.is_held(lab.now)
    assert capacity.place(names=["alerting"], processes=None, now=lab.now) == [("alerting", 0)]


def test_a_crash_closes_without_a_commit_and_frees_the_slot(lab):
    def crash() -> None:
        raise RuntimeError("a bug")

    at_turn(lab, 3, crash)
    assert lab.run() is Outcome.FAILED
    assert lab.runtime.closed == [False]
    assert lab.row.reason == "RuntimeError: a bug"
    assert not lab.row.is_held(lab.now)


def test_a_halt_is_stored_and_nothing_starts_it_again(lab):
    at_turn(lab, 3, lambda: setattr(lab.runtime, "halted", "30 of 30 records were dead letters"))
    assert lab.run() is Outcome.HALTED
    assert lab.runtime.closed == [True]
    assert Pipeline.objects.get().halted_reason == "30 of 30 records were dead letters"
    assert capacity.place(names=["alerting"], processes=None, now=lab.now) == []
    assert lab.published[-1][1]["state"] == "halted"


def test_while_the_database_is_away_it_goes_on_and_renews_when_it_is_back(lab, monkeypatch):
    lab.turns(1)
    renew = leases.renew

    def locked(**_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(leases, "renew", locked)
    lab.turns(60)
    assert lab.loop.ended is None
    assert lab.runtime.turns == 61
    told = {(stats["state"], stats["reason"]) for _, stats in lab.published}
    assert ("retrying", "waits for the database: the database is locked: database is locked") in told
    monkeypatch.setattr(leases, "renew", renew)
    lab.turns(1)
    assert lab.row.heartbeat_at == lab.now - timedelta(seconds=0.5)
    assert lab.runtime.nudges == 1


def test_a_thawed_process_looks_at_its_lease_before_it_reads(lab):
    lab.turns(4)
    lab.now += timedelta(minutes=5)
    leases.claim(name="alerting", slot=0, holder=OTHER, now=lab.now)
    lab.turns(1)
    assert lab.loop.ended is Outcome.REPLACED
    assert lab.runtime.turns == 4

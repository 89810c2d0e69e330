"""A replayer killed at any step: the next one goes on, and every letter is in its topic once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dlq import leases, replayer, services
from dlq.models import DeadLetter, ReplayItem, ReplayRun
from dlq.replayer import ClusterKafka, Replayer, ReplayerLease
from gdsconsole.database.leases import Holder
from gdsconsole.kafka.dead_letters.envelope import replay_mark
from gdsconsole.kafka.dead_letters.replay_ledger import LedgerPosition, ProducedReplay
from tests.dlq.conftest import ReplaySpace
from tests.factories import make_dead_letter
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
# On another machine nobody can see from here whether a process is dead: its lease must run out.
ELSEWHERE = Holder("elsewhere", 7, "another kernel", 0.0)
METHODS = ("init_transactions", "begin_transaction", "produce", "flush", "commit_transaction")
# What a clean run of two letters calls on its producer, and then on the database. `flush` is called as
# often as the delivery takes, so its place is the first call of a group.
STEPS = [
    ("init_transactions", 1),
    ("begin_transaction", 1),
    ("produce", 1),
    ("produce", 2),
    ("flush", 1),
    ("produce", 3),
    ("produce", 4),
    ("commit_transaction", 1),
    ("record_written", 1),
]


@pytest.fixture(autouse=True)
def buried() -> Iterator[None]:
    """The dead are kept for a test, and no longer: each has threads of its own."""
    yield
    MortalKafka.graveyard.clear()


class Killed(BaseException):
    """The process ends here: nothing of its own may run after it."""


class Fuse:
    """Kills at the nth call of one method, before it or after it."""

    def __init__(self, method: str, number: int, *, after: bool) -> None:
        self.method, self.number, self.after = method, number, after
        self.calls: Counter[str] = Counter()
        self.blown = False

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: Any, **kwargs: Any) -> Any:
            if self.blown:
                raise Killed  # the dead call nothing
            self.calls[name] += 1
            due = name == self.method and self.calls[name] == self.number
            if due and not self.after:
                self._blow()
            result = call(*args, **kwargs)
            if due:
                self._blow()
            return result

        return fused

    def _blow(self) -> None:
        self.blown = True
        raise Killed


class FusedProducer:
    def __init__(self, producer: Any, fuse: Fuse) -> None:
        self._producer, self._fuse = producer, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._producer, name)
        return self._fuse.around(name, found) if name in METHODS else found


class MortalKafka(ClusterKafka):
    """The cluster through a producer with a fuse. Keeps dead producers, as a cluster would see them."""

    graveyard: list[Any] = []

    def __init__(self, space: ReplaySpace, fuse: Fuse | None) -> None:
        super().__init__(
            space.client, transactional_id=space.transactional_id, ledger_topic=space.ledger_topic
        )
        self._fuse = fuse

    def take_over(self) -> LedgerPosition:
        if self._fuse is None:
            return super().take_over()
        make = replayer.new_replay_writer

        def fused(*args: Any, **kwargs: Any) -> Any:
            writer = make(*args, **kwargs)
            self.graveyard.append(writer._producer)
            writer._producer = FusedProducer(writer._producer, self._fuse)  # type: ignore[assignment]
            return writer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replayer, "new_replay_writer", fused)
            return super().take_over()


class ForgetfulKafka(MortalKafka):
    """The naive way: what isn't settled is sent again, without asking the ledger."""

    def ledger(self, start: int) -> dict[str, ProducedReplay]:
        return {}


def life(kafka: MortalKafka, space: ReplaySpace, number: int, fuse: Fuse | None = None) -> None:
    """One incarnation, until it has nothing left or is killed. Leases of the dead have run out."""
    at = datetime(2100, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    token = leases.claim(transactional_id=space.transactional_id, holder=ELSEWHERE, now=at, ttl_s=60)
    assert token is not None
    mortal = Replayer(kafka, ReplayerLease(space.transactional_id, token), clock=lambda: at)
    with pytest.MonkeyPatch.context() as patch:
        if fuse is not None:
            patch.setattr(replayer, "record_written", fuse.around("record_written", replayer.record_written))
        try:
            mortal.recover()
            while mortal.step():
                pass
        except Killed:
            assert fuse is not None


def start(space: ReplaySpace, name: str, count: int = 2) -> ReplayRun:
    letters = [
        make_dead_letter(topic=space.target, partition=n % 3, value=f"{name} {n}".encode())
        for n in range(count)
    ]
    ids = [letter.pk for letter in letters]
    return services.start_replay(ids=ids, actor="reviewer", now=NOW).run


def in_topic(space: ReplaySpace) -> Counter[bytes | None]:
    return Counter(record.value() for record in space.read())


def assert_rows_tell_where(space: ReplaySpace) -> None:
    """Every settled row has the coordinates at which its record really is."""
    found = {
        (record.partition(), record.offset()): replay_mark(record).replay_id  # type: ignore[union-attr]
        for record in space.read()
    }
    items = ReplayItem.objects.all()
    assert {(item.target_partition, item.target_offset): str(item.replay_id) for item in items} == found


def test_killed_before_and_after_every_step(space: ReplaySpace) -> None:
    number = 0
    for method, call in STEPS:
        for after in (False, True):
            fuse = Fuse(method, call, after=after)
            run = start(space, f"{method} {call} {'after' if after else 'before'}")
            number += 2
            life(MortalKafka(space, fuse), space, number, fuse)
            assert fuse.blown, f"{method} call {call} was never made"
            life(MortalKafka(space, None), space, number + 1)
            run.refresh_from_db()
            assert (run.state, run.replayed) == ("finished", 2), f"{method} {call} after={after}"

    counted = in_topic(space)
    assert len(counted) == 2 * 2 * len(STEPS)
    assert set(counted.values()) == {1}, {value for value, times in counted.items() if times != 1}
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"replayed"}
    assert_rows_tell_where(space)


def test_without_the_ledger_the_same_kills_send_twice(space: ReplaySpace) -> None:
    fuse = Fuse("record_written", 1, after=False)
    start(space, "naive")
    life(ForgetfulKafka(space, fuse), space, 1, fuse)
    life(ForgetfulKafka(space, None), space, 2)
    assert set(in_topic(space).values()) == {2}


WORKER = """
import django; django.setup()
from dlq import replayer
replayer.CHUNK_ITEMS = 10  # the lease stays long: the dead are known to be dead
from gdsconsole.pipelines.connection import kafka_settings
print("up", flush=True)
replayer.replay_waiting(kafka_settings())
print("done", flush=True)
"""


def test_processes_killed_at_random(
    space: ReplaySpace, subprocess_environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    letters = 200
    run = start(space, "letter", letters)
    environment = {
        **subprocess_environment,
        "GDS_ORGANIZATION": space.transactional_id.removesuffix("-replayer"),
        "KAFKA_BOOTSTRAP_SERVERS": space.client.bootstrap_servers,
    }
    seed = 20260115
    chance = random.Random(seed)
    kills = 0
    for _ in range(40):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=environment, stdout=subprocess.PIPE, text=True
        )
        request.addfinalizer(worker.kill)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "up\n"
        done_before = _settled(run)
        aim = done_before + chance.randrange(5, 60)
        if kills < 6:
            # By progress, not by time: however slow the machine is, the kill falls in the middle.
            wait_until(lambda aim=aim, worker=worker: _settled(run) >= aim or worker.poll() is not None, 60,
                       f"{aim} letters settled", every_s=0.002)  # fmt: skip
            worker.kill()
            kills += worker.wait() != 0
        else:
            worker.wait(120)
        run.refresh_from_db()
        if run.state == "finished":
            break
    assert kills >= 4, f"killed {kills} times only (seed {seed})"
    assert (run.state, run.replayed, run.failed) == ("finished", letters, 0)
    counted = in_topic(space)
    assert (len(counted), set(counted.values())) == (letters, {1}), f"seed {seed}"
    assert_rows_tell_where(space)


def _settled(run: ReplayRun) -> int:
    return ReplayItem.objects.filter(run=run, state="replayed").count()

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dlq import leases, services
from dlq.models import DeadLetter, DeadLetterEvent, ReplayItem, ReplayRun
from dlq.replayer import ClusterKafka, Replayer, ReplayerLease, _outgoing, replay_waiting
from gdsconsole.database.leases import Holder
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.dead_letters.envelope import replay_mark
from gdsconsole.kafka.errors import FencedError
from tests.dlq.conftest import ReplaySpace
from tests.factories import make_dead_letter

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
# On another machine nobody can see from here whether a process is dead: its lease must run out.
ELSEWHERE = Holder("elsewhere", 7, "another kernel", 0.0)


def start(*letters: DeadLetter) -> ReplayRun:
    ids = [letter.pk for letter in letters]
    return services.start_replay(ids=ids, actor="reviewer", now=NOW).run


def reread(letter: DeadLetter) -> DeadLetter:
    return DeadLetter.objects.get(pk=letter.pk)


def test_a_letter_goes_back_byte_for_byte(space: ReplaySpace) -> None:
    letters = [
        make_dead_letter(topic=space.target, partition=2, key=b"\xff\x00", value=b"not json",
                         headers=[["trace", "/w=="], ["trace", None], ["", ""]]),
        make_dead_letter(topic=space.target, partition=1, key=None, value=None),
        make_dead_letter(topic=space.target, partition=0, key=b"", value=b""),
        make_dead_letter(topic=space.target, partition=99, key=b"k", value=b"from a partition that is gone"),
    ]  # fmt: skip
    run = start(*letters)

    assert replay_waiting(space.client) is False

    run.refresh_from_db()
    assert (run.state, run.replayed, run.failed, run.waiting_for) == ("finished", 4, 0, "")
    by_id = {item.dead_letter_id: item for item in run.items.all()}
    records = {replay_mark(record).replay_id: record for record in space.read()}  # type: ignore[union-attr]
    assert len(records) == 4
    for letter in letters:
        item = by_id[letter.pk]
        record = records[str(item.replay_id)]
        assert (record.key(), record.value()) == (letter.key, letter.value)
        assert (item.target_partition, item.target_offset) == (record.partition(), record.offset())
        own = [pair for pair in record.headers() or [] if not pair[0].startswith("gds.dlq.")]
        assert own == letter.header_pairs()
        assert replay_mark(record).count == 1  # type: ignore[union-attr]
        if letter.partition != 99:
            assert record.partition() == letter.partition
        stored = reread(letter)
        assert (stored.state, stored.replay_count) == ("replayed", 1)


def test_the_ledger_has_one_line_for_each_replay(space: ReplaySpace) -> None:
    run = start(*[make_dead_letter(topic=space.target) for _ in range(5)])
    replay_waiting(space.client)
    lines = space.read(space.ledger_topic)
    assert sorted((line.key() or b"").decode() for line in lines) == sorted(
        str(item.replay_id) for item in run.items.all()
    )


def test_a_topic_that_is_gone_fails_its_letter_and_no_other(space: ReplaySpace) -> None:
    lost, fine = make_dead_letter(topic="gds.gone.production"), make_dead_letter(topic=space.target)
    run = start(lost, fine)
    replay_waiting(space.client)

    assert (reread(lost).state, reread(fine).state) == ("failed", "replayed")
    item = run.items.get(dead_letter=lost)
    assert item.error == (
        "topic gds.gone.production does not exist on the cluster; make it, then replay again"
    )
    assert DeadLetterEvent.objects.get(dead_letter=lost, action="replay_failed").error == item.error
    run.refresh_from_db()
    assert (run.state, run.replayed, run.failed) == ("finished", 1, 1)
    # It is not lost: the topic made, it can be sent.
    assert services.replay_refusal(reread(lost)) is None


def test_what_the_broker_refuses_fails_alone(space: ReplaySpace, topic_factory: Callable[..., str]) -> None:
    small = topic_factory(partitions=1, config={"max.message.bytes": "2000"})
    incompressible = random.Random(1).randbytes(5000)
    letters = [make_dead_letter(topic=small, value=b"fits") for _ in range(2)]
    letters.insert(1, make_dead_letter(topic=small, value=incompressible))
    letters.append(make_dead_letter(topic=space.target, value=incompressible))
    run = start(*letters)
    replay_waiting(space.client)

    assert [reread(letter).state for letter in letters] == ["replayed", "failed", "replayed", "replayed"]
    assert "MSG_SIZE_TOO_LARGE" in run.items.get(dead_letter=letters[1]).error
    assert [record.value() for record in space.read(small)] == [b"fits", b"fits"]


def test_what_the_client_refuses_fails_alone(space: ReplaySpace) -> None:
    large = make_dead_letter(topic=space.target, value=b"x" * 20_000_000)
    fine = make_dead_letter(topic=space.target)
    run = start(fine, large)
    replay_waiting(space.client)
    assert (reread(fine).state, reread(large).state) == ("replayed", "failed")
    assert "MSG_SIZE_TOO_LARGE" in run.items.get(dead_letter=large).error


def test_an_unreachable_cluster_is_said_and_nothing_is_lost(space: ReplaySpace, settings: Any) -> None:
    letter = make_dead_letter(topic=space.target)
    run = start(letter)
    replay_waiting(ClientSettings("127.0.0.1:1"))

    run.refresh_from_db()
    assert run.state == "queued"
    assert "Kafka at 127.0.0.1:1 is unreachable" in run.waiting_for
    assert reread(letter).state == "replaying"

    replay_waiting(space.client)
    run.refresh_from_db()
    assert (run.state, run.waiting_for) == ("finished", "")
    assert reread(letter).state == "replayed"


def test_two_runs_are_sent_in_their_order(space: ReplaySpace) -> None:
    first = start(*[make_dead_letter(topic=space.target, partition=0, value=b"1%d" % n) for n in range(3)])
    second = start(*[make_dead_letter(topic=space.target, partition=0, value=b"2%d" % n) for n in range(3)])
    replay_waiting(space.client)
    assert [record.value() for record in space.read()] == [b"10", b"11", b"12", b"20", b"21", b"22"]
    assert {run.state for run in ReplayRun.objects.all()} == {"finished"}
    assert first.pk < second.pk


def test_a_held_lease_leaves_the_work_to_its_holder(space: ReplaySpace) -> None:
    letter = make_dead_letter(topic=space.target)
    start(letter)
    now = datetime.now(UTC)
    token = leases.claim(transactional_id=space.transactional_id, holder=ELSEWHERE, now=now, ttl_s=60)
    assert token is not None
    replay_waiting(space.client)
    assert reread(letter).state == "replaying"

    leases.release(transactional_id=space.transactional_id, token=token, now=now)
    replay_waiting(space.client)
    assert reread(letter).state == "replayed"


def test_a_replaced_replayer_writes_nothing_and_judges_nothing(space: ReplaySpace) -> None:
    lost, fine = make_dead_letter(topic="gds.gone.production"), make_dead_letter(topic=space.target)
    start(lost, fine)

    def incarnation() -> Replayer:
        # Each claims as if the one before had been silent for too long.
        token = leases.claim(
            transactional_id=space.transactional_id,
            holder=ELSEWHERE,
            now=datetime(2100, 1, 1, tzinfo=UTC),
            ttl_s=1,
        )
        assert token is not None
        kafka = ClusterKafka(
            space.client, transactional_id=space.transactional_id, ledger_topic=space.ledger_topic
        )
        return Replayer(kafka, ReplayerLease(space.transactional_id, token))

    frozen = incarnation()
    frozen.recover()
    newer = incarnation()
    newer.recover()

    with pytest.raises(FencedError):
        frozen.step()
    assert reread(lost).state == "replaying"
    # Past its lease's check, too: Kafka itself refuses it.
    item = ReplayItem.objects.select_related("dead_letter").get(dead_letter=fine)
    with pytest.raises(FencedError):
        frozen._kafka.write([_record(item)])
    assert space.read() == []

    while newer.step():
        pass
    assert len(space.read()) == 1
    assert (reread(lost).state, reread(fine).state) == ("failed", "replayed")


def test_an_item_whose_ledger_is_gone_is_not_sent_on_a_guess(space: ReplaySpace) -> None:
    letter = make_dead_letter(topic=space.target)
    run = start(letter)
    ReplayItem.objects.update(ledger_topic_id="of-a-deleted-ledger", ledger_offset=5)
    replay_waiting(space.client)
    item = run.items.get()
    assert (item.state, reread(letter).state) == ("failed", "failed")
    assert f"gds.dlq.replay.id = {item.replay_id}" in item.error
    assert space.read() == []


def _record(item: ReplayItem) -> Any:
    return _outgoing(item, 3)

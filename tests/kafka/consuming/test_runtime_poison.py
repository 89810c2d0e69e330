"""Records that can't be processed, one `run_once` at a time."""

from __future__ import annotations

from confluent_kafka import KafkaError

from gdsconsole.kafka.dead_letters.envelope import DecodedDeadLetter, ReplayMark, decode, replay_headers
from gdsconsole.kafka.errors import InvalidMessage
from gdsconsole.kafka.status import ConsumerState
from tests.kafka.lab import DLQ, GROUP, TOPIC, Lab
from tests.kafka.steps import Refuses, StoreStep


def test_poison_is_dead_lettered_at_once_and_its_neighbours_pass():
    lab = Lab()
    lab.send("a", "bad1", "b", None, "c")
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["a", "b", "c"]
    assert lab.dead == [b"bad1", None]
    assert lab.committed() == 5
    assert lab.pipeline.counters.dead_letters == 2


def test_a_batch_of_poison_alone_moves_the_stored_progress_too():
    lab = Lab()
    lab.send("bad1", "bad2")
    lab.start()
    lab.turns(3)
    assert list(lab.database.progress.values()) == [2]
    assert lab.committed() == 2


def test_a_dead_letter_is_acknowledged_before_anything_moves_past_it():
    lab = Lab()
    lab.send("bad1", "a")
    lab.start()
    lab.producer.refuse = KafkaError._MSG_TIMED_OUT
    lab.turns(3)
    assert lab.dead == []
    assert list(lab.database.progress.values()) == [0]
    assert lab.committed() in (None, 0)
    assert lab.pipeline.snapshot().state is ConsumerState.RETRYING
    lab.producer.refuse = None
    lab.turns(10)
    assert lab.dead == [b"bad1"]
    assert lab.database.effects == ["a"]


def test_a_refused_dead_letter_halts_with_nothing_committed_past_it():
    lab = Lab()
    lab.send("a")
    lab.start()
    lab.turns(3)
    lab.send("bad1", "b")
    lab.producer.refuse = KafkaError.TOPIC_AUTHORIZATION_FAILED
    lab.turns(2)
    snapshot = lab.pipeline.snapshot()
    assert snapshot.state is ConsumerState.HALTED
    assert "TOPIC_AUTHORIZATION_FAILED" in snapshot.reason
    lab.pipeline.close(commit=True)
    assert lab.committed() == 1
    assert lab.database.effects == ["a"]


def test_a_dead_letter_too_large_for_its_topic_is_parked():
    lab = Lab()
    lab.send("bad1", "a")
    lab.start()
    lab.producer.refuse = KafkaError.MSG_SIZE_TOO_LARGE
    lab.turns(3)
    assert [(one.letter.topic, one.letter.offset) for one in lab.parked] == [(TOPIC, 0)]
    assert lab.database.effects == ["a"]
    assert lab.committed() == 2
    assert lab.pipeline.counters.parked == 1


def test_a_pipeline_without_a_dead_letter_topic_halts_at_poison():
    lab = Lab()
    lab.send("bad1")
    lab.start(dead_letters=False)
    lab.turns(2)
    assert "no dead letter topic" in lab.pipeline.snapshot().reason
    assert lab.pipeline.snapshot().state is ConsumerState.HALTED
    assert lab.committed() in (None, 0)


def test_a_step_may_find_poison_itself():
    lab = Lab()
    lab.send("a", "b", "c")
    lab.start(StoreStep(lab.database, before=Refuses("b", InvalidMessage("b: not that one"))))
    lab.turns(3)
    assert lab.database.effects == ["a", "c"]
    assert lab.dead == [b"b"]


def test_a_dead_letter_says_whether_any_group_could_have_read_it():
    lab = Lab()

    def refuse(batch):
        if "ugly" in batch.values:
            raise InvalidMessage("ugly")

    lab.send("bad bytes", "ugly")
    lab.start(StoreStep(lab.database, before=refuse))
    lab.turns(6)
    letters = [decode(record) for record in lab.broker.logs[DLQ, 0].records.values()]
    assert {letter.value: letter.stage for letter in letters} == {b"bad bytes": "decode", b"ugly": "step"}


def test_a_replay_for_another_group_is_passed_over_and_one_for_this_group_or_any_is_not():
    lab = Lab()
    letter = DecodedDeadLetter(form="headers", key=None, value=None, headers=[])
    for value, group in (("theirs", "gds-others"), ("ours", GROUP), ("anybody's", None)):
        headers = replay_headers(letter, ReplayMark("a-replay", 1, group))
        lab.broker.append(TOPIC, value.encode(), headers=headers)
    lab.send("plain")
    lab.start()
    lab.turns(3)
    assert lab.database.effects == ["ours", "anybody's", "plain"]
    assert lab.committed() == 4
    lab.broker.append(TOPIC, b"bad", headers=replay_headers(letter, ReplayMark("b", 1, "gds-others")))
    lab.turns(3)
    assert (lab.dead, lab.committed()) == ([], 5)


def test_a_dead_letter_says_where_it_comes_from_and_why():
    lab = Lab()
    lab.send("a", "bad1")
    lab.start()
    lab.turns(3)
    (record,) = lab.broker.logs[DLQ, 0].records.values()
    headers = dict(record.headers())
    assert headers["gds.dlq.topic"] == TOPIC.encode()
    assert headers["gds.dlq.offset"] == b"1"
    assert headers["gds.dlq.error.type"] == b"InvalidMessage"
    assert headers["gds.dlq.attempt"] == b"1"
    assert headers["gds.dlq.topic.id"] == b"topic-1"

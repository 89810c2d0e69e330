"""Records that a step sends on, and the offsets committed once they have arrived."""

from __future__ import annotations

from confluent_kafka import KafkaError

from gdsconsole.kafka.status import ConsumerState
from tests.kafka.forwarding.lab import (
    ForwardingLab,
    evens,
    names,
)
from tests.kafka.lab import TOPIC


def test_offsets_are_committed_once_the_records_have_arrived():
    lab = ForwardingLab()
    lab.send(*names(8))
    lab.after_delivery()
    lab.turns(4)
    assert lab.pipeline.counters.processed == 8
    assert lab.committed_on() is None
    lab.out.flush()
    lab.turns(2)
    assert lab.committed_on() == 8
    assert lab.sent_on == evens(8)


def test_a_batch_of_which_nothing_goes_on_waits_for_those_before_it():
    lab = ForwardingLab()
    lab.send("m0", "m1", "m3", "m5", "m7", "m9")
    lab.after_delivery()
    lab.turns(4)
    assert lab.pipeline.counters.processed == 6
    assert lab.committed_on() is None
    lab.out.flush()
    lab.turns(2)
    assert lab.committed_on() == 6


def test_nothing_of_a_batch_that_failed_goes_on_before_it_is_handled_again():
    lab = ForwardingLab()
    lab.send(*names(4))
    lab.after_delivery(failures=2)
    lab.turns(12)
    lab.out.flush()
    lab.turns(2)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_what_an_outage_kept_from_arriving_is_read_and_sent_again():
    lab = ForwardingLab()
    lab.send(*names(8))
    lab.after_delivery()
    lab.out.refuse = KafkaError._MSG_TIMED_OUT
    lab.turns(3)
    lab.out.flush()
    lab.turns(1)
    assert lab.pipeline.snapshot().state is ConsumerState.RETRYING
    assert "records were not delivered" in lab.pipeline.snapshot().reason
    lab.out.refuse = None
    for _ in range(6):
        lab.turns(2)
        lab.out.flush()
    lab.turns(2)
    assert sorted(lab.sent_on) == sorted(evens(8))
    assert lab.committed_on() == 8
    assert lab.pipeline.halted is None


def test_a_record_the_brokers_refuse_halts_with_nothing_committed_past_it():
    lab = ForwardingLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.out.refuse = KafkaError.TOPIC_AUTHORIZATION_FAILED
    lab.turns(2)
    lab.out.flush()
    lab.turns(1)
    assert lab.pipeline.halted is not None
    assert "TOPIC_AUTHORIZATION_FAILED" in lab.pipeline.halted
    assert lab.committed_on() is None


def test_closing_waits_for_what_is_on_its_way_and_commits_it():
    lab = ForwardingLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.turns(2)
    lab.pipeline.close(commit=True)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4


def test_a_revoked_partition_is_committed_with_what_was_sent_of_it():
    lab = ForwardingLab()
    lab.send(*names(4))
    lab.after_delivery()
    lab.turns(2)
    lab.source.revoke_now((TOPIC, 0))
    lab.turns(1)
    assert lab.sent_on == evens(4)
    assert lab.committed_on() == 4

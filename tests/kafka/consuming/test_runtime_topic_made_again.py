"""A topic that is deleted and made again under its name, one `run_once` at a time."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from gdsconsole.kafka.offsets.start_offsets import MADE_AGAIN, label
from gdsconsole.kafka.partitions import TopicIdPartition
from tests.kafka.lab import GROUP, TOPIC, Lab

OLD = ["a", "b", "c"]
NEW = ["d", "e", "f", "g", "h"]


def old_topic_read() -> Lab:
    lab = Lab()
    lab.send(*OLD)
    lab.start()
    lab.turns(3)
    assert lab.database.effects == OLD
    assert lab.committed() == 3
    return lab


def test_a_topic_with_more_records_than_the_old_one_is_read_from_its_beginning():
    """The client reads on at the old offset, where a record is: it is not handled as the old topic's."""
    lab = old_topic_read()
    client = lab.source
    lab.remake(*NEW)
    lab.turns(6)
    assert lab.database.effects == OLD + NEW
    assert lab.committed() == 5
    assert lab.source is not client
    assert client.is_closed
    assert MADE_AGAIN in lab.pipeline.snapshot().reason
    assert lab.pipeline.counters.lost == 0


def test_a_client_that_reads_nothing_is_replaced_after_the_next_renewal():
    lab = old_topic_read()
    client = lab.source
    lab.remake()
    lab.source.paused = {(TOPIC, 0)}
    lab.send(*NEW)
    lab.turns(3)
    assert lab.database.effects == OLD
    lab.pipeline.subscribe([TOPIC])
    lab.turns(6)
    assert lab.source is not client
    assert lab.database.effects == OLD + NEW


@pytest.mark.parametrize("labelled", [True, False])
def test_a_commit_of_the_old_topic_is_no_place_to_start_at(labelled):
    """Made by a consumer that had yet to notice; `labelled` is False for what others commit."""
    lab = old_topic_read()
    lab.pipeline.close(commit=True)
    metadata = label(lab.topic_id) if labelled else ""
    lab.remake(*NEW)
    lab.source.commit(offsets=[TopicPartition(TOPIC, 0, 4, metadata=metadata)], asynchronous=False)
    lab.start(topic_id="topic-2")
    lab.turns(4)
    assert lab.database.effects == OLD + NEW
    assert lab.committed() == 5
    assert lab.broker.labels[GROUP, TOPIC, 0] == label("topic-2")
    assert MADE_AGAIN in lab.pipeline.snapshot().reason


def test_a_start_that_did_not_get_to_commit_is_made_again_the_same_way():
    lab = old_topic_read()
    lab.pipeline.close(commit=True)
    lab.remake(*NEW)
    lab.database.progress[TopicIdPartition(TOPIC, 0, "topic-2", "cluster-1")] = 0
    lab.start(topic_id="topic-2")
    lab.turns(4)
    assert lab.database.effects == OLD + NEW


def test_what_the_group_committed_of_this_topic_counts_though_nothing_of_it_is_stored():
    """A step without an effect stores nothing; the commit is all there is."""
    lab = old_topic_read()
    lab.pipeline.close(commit=True)
    lab.remake(*NEW)
    lab.source.commit(offsets=[TopicPartition(TOPIC, 0, 2, metadata=label("topic-2"))], asynchronous=False)
    lab.start(topic_id="topic-2")
    lab.turns(4)
    assert lab.database.effects == OLD + NEW[2:]
    assert lab.pipeline.snapshot().reason == ""


def test_a_topic_that_is_gone_for_a_while_and_a_cluster_that_says_nothing_change_nothing():
    lab = old_topic_read()
    client = lab.source

    def silent(topics):
        raise ConnectionError("nobody answers")

    lab.pipeline._watch._topic_ids = silent
    lab.send("d")
    lab.pipeline.subscribe([TOPIC])
    lab.turns(4)
    assert lab.database.effects == [*OLD, "d"]
    assert lab.source is client

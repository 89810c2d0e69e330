"""How the partitions are drawn and told of."""

from __future__ import annotations

import pytest

from gdsconsole.kafka.partitions import TopicPartition
from gdsconsole.pipelines.partition_shares import PartitionCell, shared, strips, tint

TOPIC = "gds.metrics.production"


def tps(*numbers: int, topic: str = TOPIC) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]


def test_a_topics_name_may_have_hyphens():
    assert TopicPartition.named("gds.metrics.pre-production-11") == TopicPartition(
        "gds.metrics.pre-production", 11
    )
    assert str(TopicPartition("gds.metrics.pre-production", 11)) == "gds.metrics.pre-production-11"


@pytest.mark.parametrize(
    ("counts", "total", "told"),
    [
        ([], 0, "its partitions aren't known yet"),
        ([0], 0, "its partitions aren't known yet"),
        ([], 12, "12 partitions, none of them assigned"),
        ([0, 0], 12, "12 partitions, none of them assigned"),
        ([12], 12, "1 consumer, 12 partitions"),
        ([1], 1, "1 consumer, 1 partition"),
        ([4, 4, 4], 12, "3 consumers, 4 partitions each"),
        ([3, 3, 2, 2, 2], 12, "5 consumers, 2 or 3 partitions each"),
        ([1] * 12 + [0, 0], 12, "14 consumers, 0 or 1 partition each"),
        ([8, 2, 2], 12, "3 consumers, 2 to 8 partitions each"),
        ([4, 4], 12, "2 consumers, 4 partitions each; 4 unassigned"),
        ([8], 12, "1 consumer, 8 partitions; 4 unassigned"),
    ],
)
def test_in_words(counts: list[int], total: int, told: str):
    assert shared(counts, total=total) == told


def test_each_partition_is_a_cell_of_its_consumer():
    held = dict.fromkeys(tps(0, 1), 0) | dict.fromkeys(tps(3), 9)
    (strip,) = strips(
        held=held,
        known=tps(0, 5),
        waiting={TopicPartition(TOPIC, 1): "database: locked"},
        halted={},
    )
    assert strip.topic == TOPIC
    assert strip.cells == (
        PartitionCell(0, 0, ""),
        PartitionCell(1, 0, "database: locked"),
        PartitionCell(2, None, ""),
        PartitionCell(3, 9, ""),
        PartitionCell(4, None, ""),
        PartitionCell(5, None, ""),
    )
    assert [cell.tint for cell in strip.cells] == ["1", "1", "nobody", "2", "nobody", "nobody"]


def test_a_topic_that_nobody_reads_any_more_is_not_drawn():
    known = [*tps(0, 1), *tps(0, topic="gds.metrics.old")]
    read = strips(held={TopicPartition(TOPIC, 0): 0}, known=known, waiting={}, halted={})
    assert [strip.topic for strip in read] == [TOPIC]
    unread = strips(held={}, known=known, waiting={}, halted={})
    assert [strip.topic for strip in unread] == ["gds.metrics.old", TOPIC]
    assert strips(held={}, known=[], waiting={}, halted={}) == []


def test_a_halted_partition_says_so_rather_than_that_it_waits():
    at = TopicPartition(TOPIC, 1)
    (strip,) = strips(held={at: 0}, known=[], waiting={at: "locked"}, halted={at: "500 in a row"})
    assert [(cell.why, cell.is_halted) for cell in strip.cells] == [("", False), ("500 in a row", True)]


def test_eight_colours_go_round():
    assert [tint(slot) for slot in (0, 7, 8, None)] == ["1", "8", "1", "nobody"]

"""Progress is moved by compare-and-set, in the transaction of the effects."""

from __future__ import annotations

import pytest
from django.db import transaction

from gdsconsole.kafka.errors import FencedError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import progress
from gdsconsole.pipelines.models import PartitionProgress

pytestmark = pytest.mark.django_db

METRICS = [TopicIdPartition("gds.metrics.production", n, "topic-id-1", "cluster-1") for n in range(3)]


def stored() -> dict[TopicIdPartition, int]:
    return progress.load(group="gds-alerting", partitions=METRICS)


def advance(*moves: tuple[TopicIdPartition, int, int]) -> None:
    with transaction.atomic():
        progress.advance(
            group="gds-alerting", moves={part: (expected, reached) for part, expected, reached in moves}
        )


def test_a_group_that_starts_now_is_at_zero_everywhere():
    assert stored() == dict.fromkeys(METRICS, 0)
    assert progress.load(group="gds-alerting", partitions=[]) == {}


def test_moves_many_partitions_at_once():
    stored()
    advance((METRICS[0], 0, 10), (METRICS[2], 0, 7))
    assert stored() == {METRICS[0]: 10, METRICS[1]: 0, METRICS[2]: 7}


def test_a_batch_handled_before_is_fenced_and_none_of_it_stays():
    stored()
    advance((METRICS[0], 0, 10))
    with pytest.raises(FencedError, match=r"gds\.metrics\.production-0 at 0"):
        advance((METRICS[1], 0, 5), (METRICS[0], 0, 10))
    assert stored() == {METRICS[0]: 10, METRICS[1]: 0, METRICS[2]: 0}


def test_a_partition_that_was_never_loaded_is_fenced():
    with pytest.raises(FencedError):
        advance((METRICS[0], 0, 10))


def test_a_truncated_partition_can_be_moved_back():
    stored()
    advance((METRICS[0], 0, 10))
    advance((METRICS[0], 10, 4))
    assert stored()[METRICS[0]] == 4


def test_a_topic_made_again_and_another_group_have_progress_of_their_own():
    stored()
    advance((METRICS[0], 0, 10))
    again = METRICS[0]._replace(topic_id="topic-id-2")
    assert progress.load(group="gds-alerting", partitions=[again]) == {again: 0}
    assert progress.load(group="gds-warehouse", partitions=[METRICS[0]]) == {METRICS[0]: 0}


def test_loading_again_keeps_what_is_stored_and_makes_no_second_row():
    stored()
    advance((METRICS[1], 0, 3))
    assert stored()[METRICS[1]] == 3
    assert PartitionProgress.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_refuses_to_move_outside_a_transaction():
    with pytest.raises(transaction.TransactionManagementError):
        progress.advance(group="gds-alerting", moves={METRICS[0]: (0, 1)})

"""How many records at once."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.kafka.consuming.batching import SLICE_S, BatchPolicy, Collector, fill, next_limit, stretches
from tests.factories import make_record

POLICY = BatchPolicy(minimum=50, maximum=500, target_s=0.5)


@pytest.mark.parametrize(
    ("limit", "taken", "took_s", "expected"),
    [
        pytest.param(500, 500, 0.1, 500, id="never beyond the maximum"),
        pytest.param(100, 100, 0.1, 200, id="full and quick"),
        pytest.param(100, 99, 0.1, 100, id="not full says nothing of a larger one"),
        pytest.param(100, 100, 0.4, 100, id="full, and not much time left"),
        pytest.param(400, 400, 0.6, 200, id="too slow"),
        pytest.param(500, 120, 2.0, 60, id="too slow with few records"),
        pytest.param(60, 60, 9.0, 50, id="never below the minimum"),
    ],
)
def test_the_next_limit(limit, taken, took_s, expected):
    assert next_limit(POLICY, limit=limit, taken=taken, took_s=took_s) == expected


def test_wrong_bounds_are_refused():
    with pytest.raises(ValueError, match="1 <= 9 <= 5"):
        BatchPolicy(minimum=9, maximum=5)


class Answers:
    """A consumer that answers each consume() with the next of these."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, float]] = []

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        self.asked.append((num_messages, timeout))
        return self.answers.pop(0)


def test_under_load_one_call_fills_a_batch():
    source = Answers(["a", "b"])
    assert fill(source, limit=2, linger_s=0.02, idle_s=0.5) == ["a", "b"]
    assert source.asked == [(2, 0.02)]


def test_an_idle_consumer_hands_the_first_record_on_at_once():
    source = Answers([], ["a"], ["b"])
    assert fill(source, limit=500, linger_s=0.02, idle_s=0.5) == ["a", "b"]
    assert source.asked == [(500, 0.02), (1, 0.5), (499, 0)]


def test_nothing_comes():
    source = Answers([], [])
    assert fill(source, limit=500, linger_s=0.02, idle_s=0.5) == []


class Patient:
    """A collector of batches of 3 records or 5 s, 6 at most, over these answers; a poll takes 1 s."""

    def __init__(self, *answers: list[Any]) -> None:
        self.now = 0.0
        self.source = Answers(*answers)
        policy = BatchPolicy(minimum=1, maximum=6, enough=3, wait_s=5.0)
        self.collector = Collector(self.source, policy, idle_s=0.5, clock=lambda: self.now)  # type: ignore[arg-type]

    def collect(self, limit: int = 6) -> list[int]:
        """Offsets; events as the negative of theirs."""
        found = self.collector.collect(limit)
        self.now += 1
        return [one.offset() if one.error() is None else -one.offset() for one in found]


def records(*offsets: int, partition: int = 0) -> list[Any]:
    return [make_record(partition=partition, offset=offset) for offset in offsets]


def event(code: int, offset: int = 9) -> Message:
    return Message(topic="gds.metrics.production", partition=0, offset=offset, error=KafkaError(code))


def test_a_batch_waits_for_enough_records():
    patient = Patient(records(1), records(2), [], records(3, 4))
    assert [patient.collect() for _ in range(4)] == [[], [], [], [1, 2, 3, 4]]
    assert [timeout for _, timeout in patient.source.asked[1:]] == [SLICE_S] * 3
    assert [count for count, _ in patient.source.asked] == [6, 5, 4, 4]


def test_a_batch_waits_no_longer_than_it_may():
    patient = Patient(records(1), [], [], [], [], [])
    assert [patient.collect() for _ in range(6)] == [[], [], [], [], [], [1]]
    assert patient.source.asked[-1] == (5, 0.0)


def test_the_next_batch_waits_anew():
    patient = Patient(records(1, 2, 3), records(4), records(5), records(6))
    assert [patient.collect() for _ in range(4)] == [[1, 2, 3], [], [], [4, 5, 6]]


def test_a_consumer_that_is_behind_gets_all_there_is():
    assert Patient(records(1, 2, 3, 4, 5, 6)).collect() == [1, 2, 3, 4, 5, 6]


def test_a_slow_store_has_smaller_batches_which_wait_for_less():
    assert Patient(records(1, 2)).collect(limit=2) == [1, 2]


def test_an_end_of_a_partition_waits_with_the_records_before_it():
    end = KafkaError._PARTITION_EOF
    patient = Patient([*records(1), event(end)], records(2), records(3))
    assert [patient.collect() for _ in range(3)] == [[], [], [1, -9, 2, 3]]
    assert Patient([], [event(end)], []).collect() == [-9]


def test_anything_else_the_client_says_waits_for_nothing():
    patient = Patient(records(1), [event(KafkaError._AUTO_OFFSET_RESET)])
    assert [patient.collect(), patient.collect()] == [[], [1, -9]]


def test_what_was_given_up_is_forgotten():
    patient = Patient([*records(1), *records(7, partition=1)], records(2), records(3))
    patient.collect()
    patient.collector.forget([("gds.metrics.production", 1)])
    assert [patient.collect(), patient.collect()] == [[], [1, 2, 3]]


def test_more_than_a_batch_holds_is_never_enough():
    with pytest.raises(ValueError, match="1 <= 9 <= 6"):
        BatchPolicy(minimum=1, maximum=6, enough=9)


@given(
    st.lists(
        st.tuples(st.sampled_from(["t1", "t2"]), st.integers(0, 3), st.integers(1, 5)),
        min_size=1,
        max_size=20,
    )
)
def test_stretches_are_the_ends_of_each_partition(runs: list[tuple[str, int, int]]) -> None:
    at: dict[tuple[str, int], int] = {}
    expected: dict[tuple[str, int], tuple[int, int]] = {}
    made = []
    for topic, number, count in runs:
        for _ in range(count):
            offset = at.get((topic, number), 100)
            at[topic, number] = offset + 1
            first, _ = expected.get((topic, number), (offset, 0))
            expected[topic, number] = (first, offset + 1)
            made.append(make_record(topic=topic, partition=number, offset=offset))
    assert stretches(made, one_topic=None) == expected
    only = [record for record in made if record.topic() == "t1"]
    if only:
        assert stretches(only, one_topic="t1") == {
            key: ends for key, ends in expected.items() if key[0] == "t1"
        }

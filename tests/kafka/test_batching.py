"""How many records at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.kafka.batching import BatchPolicy, fill, next_limit, stretches
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

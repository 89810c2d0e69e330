"""Which offsets are safe to commit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gdsconsole.kafka.offsets.safe_offsets import OffsetTracker

A = ("gds.metrics.production", 0)
B = ("gds.metrics.production", 1)


def tracker(start: int | None = 0, committed: int | None = None) -> OffsetTracker:
    made = OffsetTracker()
    made.start(A, start, committed=committed)
    return made


def test_a_stretch_is_safe_once_it_and_all_before_it_are_done():
    offsets = tracker()
    first, second, third = (offsets.take(A, reached) for reached in (10, 25, 30))
    offsets.done(second)
    assert offsets.safe(A) == 0
    offsets.done(first)
    assert offsets.safe(A) == 25
    offsets.done(third)
    assert offsets.due() == {A: 30}


def test_what_is_asked_for_or_committed_is_not_due():
    offsets = tracker(10, committed=10)
    assert offsets.due() == {}
    offsets.done(offsets.take(A, 20))
    offsets.asked(offsets.due())
    assert offsets.due() == {}
    assert offsets.unacknowledged([A, B]) == {A: 20}
    offsets.acknowledged(A, 20)
    assert offsets.unacknowledged([A]) == {}
    assert offsets.committed(A) == 20


def test_a_refused_commit_is_due_again():
    offsets = tracker()
    offsets.done(offsets.take(A, 20))
    offsets.asked({A: 20})
    offsets.refused([A, B])
    assert offsets.due() == {A: 20}


def test_nothing_is_due_before_the_start_of_the_log_is_known():
    offsets = tracker(None)
    assert offsets.due() == {}
    offsets.skip(A, 500)
    assert offsets.due() == {A: 500}


def test_a_rewind_drops_what_was_taken_and_keeps_what_is_safe():
    offsets = tracker()
    offsets.done(offsets.take(A, 10))
    dropped = offsets.take(A, 20)
    offsets.rewind(A)
    offsets.done(offsets.take(A, 15))
    assert offsets.safe(A) == 15
    again = offsets.take(A, 20)
    offsets.done(dropped)
    assert offsets.safe(A) == 15
    offsets.done(again)
    assert offsets.safe(A) == 20


def test_what_is_done_after_its_partition_went_away_changes_nothing():
    offsets = tracker()
    dropped = offsets.take(A, 10)
    offsets.forget([A])
    offsets.done(dropped)
    assert offsets.tps == []


def test_the_end_of_a_partition_is_not_safe_while_records_are_worked_on():
    offsets = tracker()
    stretch = offsets.take(A, 10)
    offsets.skip(A, 12)
    assert offsets.safe(A) == 0
    offsets.done(stretch)
    assert offsets.safe(A) == 12


def test_partitions_that_went_away_are_forgotten():
    offsets = tracker()
    offsets.forget([A, B])
    offsets.acknowledged(A, 5)
    assert offsets.tps == []
    assert offsets.due() == {}


@given(st.permutations(range(1, 9)), st.data())
def test_whatever_the_order_nothing_undone_is_ever_safe(order: list[int], data: st.DataObject) -> None:
    offsets = tracker()
    ends = [n * 10 for n in range(1, 9)]
    stretches = {end: offsets.take(A, end) for end in ends}
    done: set[int] = set()
    for n in order:
        offsets.done(stretches[n * 10])
        done.add(n * 10)
        first_open = next((end for end in ends if end not in done), None)
        expected = ends[-1] if first_open is None else first_open - 10
        assert offsets.safe(A) == expected

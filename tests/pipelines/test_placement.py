"""Who gets a process, where there are fewer than consumers."""

from __future__ import annotations

import pytest

from gdsconsole.pipelines.placement import Placing, in_turns, place, shortage

WANTED = {"alerting": 12, "analytics": 1, "dlq-index": 1, "warehouse": 1}
ALL_ALERTING = [("alerting", slot) for slot in range(12)]


def placed(wanted: dict[str, int], held: list[tuple[str, int]], processes: int | None) -> Placing:
    return place(wanted=wanted, held=held, movable=held, processes=processes)


def test_first_one_of_each_then_the_rest_in_turns() -> None:
    order = in_turns({"b": 3, "a": 2, "c": 1}, ())
    assert order == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("b", 2)]


def test_what_runs_counts_as_having_had_its_turn() -> None:
    assert in_turns({"a": 3, "b": 2}, [("a", 0), ("a", 1)]) == [("b", 0), ("b", 1), ("a", 2)]


def test_no_more_are_started_than_there_are_processes() -> None:
    first = placed(WANTED, [], 12).start
    assert len(first) == 12
    assert {name for name, _ in first[:4]} == WANTED.keys()
    assert sum(name == "alerting" for name, _ in first) == 9


def test_where_nobody_says_how_many_there_are_all_are_started_and_none_ends() -> None:
    assert len(placed(WANTED, [], None).start) == 15
    assert placed(WANTED, ALL_ALERTING, None).yielding == []


def test_one_pipeline_that_took_all_makes_room_for_each_that_has_none() -> None:
    found = placed(WANTED, ALL_ALERTING, 12)
    assert found == Placing(start=[], yielding=[("alerting", 11), ("alerting", 10), ("alerting", 9)])


def test_no_more_make_room_than_are_missing() -> None:
    assert placed(WANTED, ALL_ALERTING, 13).yielding == [("alerting", 11), ("alerting", 10)]
    assert placed(WANTED, ALL_ALERTING[:9], 12).yielding == []
    # All have one: those that want more wait, and nobody ends for them.
    held = [*ALL_ALERTING[:9], ("analytics", 0), ("dlq-index", 0), ("warehouse", 0)]
    assert placed(WANTED, held, 12) == Placing(start=[], yielding=[])


def test_the_last_of_a_pipeline_never_makes_room() -> None:
    held = [("alerting", 0), ("analytics", 0)]
    assert placed(dict.fromkeys(WANTED, 1), held, 2) == Placing(start=[], yielding=[])


def test_consumers_without_a_worker_take_no_process_and_free_none() -> None:
    by_hand = [("alerting", slot) for slot in range(3)]
    wanted = {"alerting": 3, "analytics": 1}
    found = place(wanted=wanted, held=by_hand, movable=[], processes=1)
    assert found == Placing(start=[("analytics", 0)], yielding=[])
    assert place(wanted=wanted, held=by_hand, movable=[], processes=0).yielding == []


@pytest.mark.parametrize(
    ("processes", "short"),
    [(15, {}), (None, {}), (12, {"alerting": 9}), (3, {"alerting": 1, "warehouse": 0})],
)
def test_who_gets_less_than_it_wants(processes: int | None, short: dict[str, int]) -> None:
    assert shortage(wanted=WANTED, processes=processes) == short


def test_what_runs_without_a_worker_is_no_shortage() -> None:
    wanted = {"alerting": 3, "dlq-index": 1}
    assert shortage(wanted=wanted, processes=2) == {"alerting": 1}
    assert shortage(wanted=wanted, processes=2, by_hand=[("alerting", 0)]) == {"alerting": 2}
    assert shortage(wanted=wanted, processes=2, by_hand=[("alerting", 0), ("alerting", 1)]) == {}
    assert shortage(wanted=wanted, processes=2, by_hand=[("alerting", 7)]) == {"alerting": 1}

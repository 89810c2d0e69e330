from __future__ import annotations

import pytest

from gdsconsole.management.pacing import Pace


def run(pace: Pace, times: list[float]) -> int:
    total = 0
    for now in times:
        due = pace.due(now)
        pace.take(due)
        total += due
    return total


@pytest.mark.parametrize("rate", [0.5, 3, 1000, 99_999])
@pytest.mark.parametrize("tick_s", [0.01, 0.0173, 0.9])
def test_the_rate_does_not_drift_with_the_length_of_a_tick(rate: float, tick_s: float) -> None:
    ticks = round(1000 / tick_s)
    total = run(Pace(rate, started=50.0), [50.0 + tick * tick_s for tick in range(1, ticks + 1)])
    assert total == pytest.approx(rate * ticks * tick_s, abs=1)


def test_nothing_is_due_at_the_start_and_nothing_twice() -> None:
    pace = Pace(10, started=0.0)
    assert pace.due(0.0) == 0
    assert pace.due(0.25) == 2
    pace.take(2)
    assert pace.due(0.25) == 0


def test_after_a_stall_the_rate_goes_on_without_a_burst() -> None:
    pace = Pace(100, started=0.0)
    assert run(pace, [1.0]) == 100
    assert run(pace, [61.0]) == 101
    assert run(pace, [61.1]) == 10


def test_a_slow_rate_survives_a_wait_longer_than_what_may_be_caught_up() -> None:
    pace = Pace(0.1, started=0.0)
    assert run(pace, [float(second) for second in range(1, 101)]) == 10


def test_waiting_ends_when_the_next_record_is_due() -> None:
    pace = Pace(4, started=0.0)
    assert pace.wait_s(0.1) == pytest.approx(0.15)
    pace.take(1)
    assert pace.wait_s(0.25) == pytest.approx(0.25)
    assert pace.wait_s(9.0) == 0

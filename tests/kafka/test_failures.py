"""When to try again, when to give up, when to stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdsconsole.kafka.errors import FailureKind, InvalidMessage, TransientError
from gdsconsole.kafka.failures import (
    Breaker,
    BreakerPolicy,
    Failure,
    RetryPolicy,
    is_exhausted,
    next_failure,
    reason_of,
)
from gdsconsole.kafka.steps import PartitionId

PART = PartitionId("gds.metrics.production", 3, "topic-1", "cluster-1")
POLICY = RetryPolicy()


def fail(
    earlier: Failure | None = None,
    *,
    kind: FailureKind = FailureKind.UNKNOWN,
    offset: int = 7,
    now: float = 1000.0,
    jitter: float = 1.0,
) -> Failure:
    return next_failure(
        earlier,
        partition=PART,
        offset=offset,
        error=RuntimeError("broken"),
        kind=kind,
        policy=POLICY,
        now=now,
        jitter=jitter,
    )


def test_an_unknown_failure_is_tried_three_times_two_and_four_seconds_apart():
    first = fail()
    second = fail(first, now=1002.0)
    third = fail(second, now=1006.0)
    assert [one.next_try_at - one.last_failed_at for one in (first, second)] == [2.0, 4.0]
    assert [is_exhausted(one, POLICY) for one in (first, second, third)] == [False, False, True]
    assert (third.attempt, third.first_failed_at, third.last_failed_at) == (3, 1000.0, 1006.0)


def test_another_record_starts_from_its_first_try():
    assert fail(fail(fail()), offset=8).attempt == 1


def test_a_transient_failure_is_never_exhausted_and_its_waits_end_at_a_minute():
    waits = []
    failure = None
    for _ in range(2000):
        failure = fail(failure, kind=FailureKind.TRANSIENT)
        waits.append(failure.next_try_at - failure.last_failed_at)
        assert not is_exhausted(failure, POLICY)
    assert waits[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert max(waits) == waits[-1] == 60.0


def test_jitter_takes_up_to_half_of_a_wait():
    waits = {
        jitter: fail(kind=FailureKind.TRANSIENT, jitter=jitter).next_try_at - 1000.0
        for jitter in (0.0, 0.5, 1.0)
    }
    assert waits == {0.0: 0.25, 0.5: 0.375, 1.0: 0.5}


def test_a_reason_is_one_line_and_has_an_end():
    assert reason_of(InvalidMessage("value: expected a number")) == "value: expected a number"
    assert reason_of(TransientError("two\n  lines")) == "two lines"
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x" * 10_000))) == 500


BREAKER = BreakerPolicy(window_s=60, max_dead_letters=50, max_ratio=0.5, min_records=20)


@pytest.mark.parametrize(
    ("batches", "stops"),
    [
        # (records, dead letters) of each second; the last decides
        pytest.param([(10, 10)], False, id="too few records to tell"),
        pytest.param([(20, 20)], True, id="all poison"),
        pytest.param([(20, 10)], False, id="just half"),
        pytest.param([(100, 10)] * 5, False, id="one in ten, at the count"),
        pytest.param([(100, 10)] * 5 + [(100, 1)], True, id="one in ten, beyond the count"),
        pytest.param(
            [(100, 40)] + [(100, 0)] * 70 + [(100, 40)], False, id="what is older than the window is over"
        ),
    ],
)
def test_the_breaker(batches, stops):
    breaker = Breaker(BREAKER)
    verdicts = [
        breaker.observe(records=records, dead_letters=dead, now=1000.0 + second)
        for second, (records, dead) in enumerate(batches)
    ]
    assert bool(verdicts[-1]) is stops
    assert not any(verdicts[:-1])


def test_the_breaker_says_why():
    breaker = Breaker(BREAKER)
    assert (
        breaker.observe(records=30, dead_letters=30, now=0.0) == "30 of 30 records in 60 s were dead letters"
    )
    counting = Breaker(replace(BREAKER, max_ratio=1.0))
    assert counting.observe(records=60, dead_letters=51, now=0.0) == "51 dead letters in 60 s, more than 50"

"""When to try again, when to give up, when to stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.consuming.retries import (
    Breaker,
    BreakerBound,
    BreakerPolicy,
    Failure,
    HandledCounts,
    RetryPolicy,
    is_exhausted,
    judge,
    next_failure,
    reason_of,
)
from gdsconsole.kafka.errors import FailureKind, InvalidMessage, TransientError
from gdsconsole.kafka.partitions import TopicIdPartition

PART = TopicIdPartition("gds.metrics.production", 3, "topic-1", "cluster-1")
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


BREAKER = BreakerPolicy(window_s=60, max_dead_letters=50, max_ratio=0.5, min_records=20, max_in_a_row=30)


def passed(records: int, dead: int) -> HandledCounts:
    """A batch whose dead letters come first."""
    return HandledCounts(records, dead, dead if dead == records else 0)


@pytest.mark.parametrize(
    ("batches", "ground"),
    [
        # (records, dead letters) of each second; the last decides
        pytest.param([(10, 10)], None, id="too few records to tell"),
        pytest.param([(20, 20)], BreakerBound.RATIO, id="all poison"),
        pytest.param([(20, 10)], None, id="just half"),
        pytest.param([(100, 10)] * 5, None, id="one in ten, at the count"),
        pytest.param([(100, 10)] * 5 + [(100, 1)], BreakerBound.COUNT, id="one in ten, beyond the count"),
        pytest.param(
            [(100, 40)] + [(100, 0)] * 70 + [(100, 40)], None, id="what is older than the window is over"
        ),
        pytest.param(
            [(1, 1)] + [(0, 0)] * 59 + [(1, 1)] + [(0, 0)] * 59 + [(1, 1)],
            None,
            id="three in as many minutes",
        ),
    ],
)
def test_the_breaker(batches, ground):
    breaker = Breaker(BREAKER)
    verdicts = [
        breaker.observe(passed(records, dead), 1000.0 + second)
        for second, (records, dead) in enumerate(batches)
    ]
    assert (verdicts[-1] and verdicts[-1][0]) is ground
    assert not any(verdicts[:-1])


@pytest.mark.parametrize(
    ("batches", "stops_after"),
    [
        pytest.param([(1, 1)] * 40, 30, id="one a minute, for half an hour"),
        pytest.param([(1, 1)] * 29 + [(1, 0)] + [(1, 1)] * 29, None, id="a good one in between"),
        pytest.param([(10, 9)] * 20, None, id="a good one at the end of each batch"),
    ],
)
def test_failures_in_a_row_stop_it_however_slowly_they_come(batches, stops_after):
    breaker = Breaker(BREAKER)
    stopped = None
    for turn, (records, dead) in enumerate(batches, start=1):
        if breaker.observe(passed(records, dead), 1000.0 + turn * 60.0) is not None:
            stopped = turn
            break
    assert stopped == stops_after


def test_the_breaker_says_why():
    all_poison = passed(30, 30)
    found = Breaker(BREAKER).observe(all_poison, 0.0)
    assert found == (BreakerBound.IN_A_ROW, "30 dead letters in a row")
    found = Breaker(replace(BREAKER, max_in_a_row=100)).observe(all_poison, 0.0)
    assert found == (BreakerBound.RATIO, "30 of 30 records in 60 s were dead letters")
    counting = Breaker(replace(BREAKER, max_ratio=1.0, max_in_a_row=100))
    found = counting.observe(HandledCounts(60, 51), 0.0)
    assert found == (BreakerBound.COUNT, "51 dead letters in 60 s, more than 50")


# All partitions of a consumer together.


class Consumer:
    """Twelve partitions, and the breakers that a consumer has by default."""

    def __init__(self) -> None:
        self.partitions = {number: Breaker(BreakerPolicy()) for number in range(12)}
        self.whole = Breaker(Policies().consumer_breaker)
        self.dead = 0

    def second(self, now: float, outcomes: dict[int, tuple[int, int]]) -> dict[int, str]:
        """(records, dead letters) by partition; returns what stopped."""
        each = {number: passed(*outcome) for number, outcome in outcomes.items()}
        records, dead = (sum(one) for one in zip(*outcomes.values(), strict=True))
        self.dead += dead
        return judge(
            consumer=self.whole,
            partitions=self.partitions,
            passed=each,
            together=passed(records, dead),
            now=now,
        )


def test_poison_that_is_spread_over_twelve_partitions_stops_them_all_and_early():
    consumer = Consumer()
    for second in range(60):
        stopped = consumer.second(float(second), dict.fromkeys(range(12), (15, 15)))
        if stopped:
            break
    assert set(stopped) == set(range(12))
    assert consumer.dead == 540  # 3 s of 180 a second; 27,005 were written before
    assert stopped[0] == "540 dead letters in a row over the consumer's partitions"


def test_three_in_four_are_stopped_by_their_ratio_over_the_consumer():
    consumer = Consumer()
    for second in range(60):
        stopped = consumer.second(float(second), dict.fromkeys(range(12), (8, 6)))
        if stopped:
            break
    assert set(stopped) == set(range(12))
    assert consumer.dead == 11 * 72


def test_what_stops_for_all_is_only_what_has_a_share_in_it():
    consumer = Consumer()
    quiet_and_good = dict.fromkeys(range(1, 11), (1, 0))
    for second in range(60):
        stopped = consumer.second(float(second), quiet_and_good | {0: (45, 45), 11: (int(second == 3),) * 2})
        if stopped:
            break
    assert set(stopped) == {0}, "neither those that are good nor the one with a single bad record"


def test_what_comes_to_the_same_poison_a_little_later_stops_sooner():
    consumer = Consumer()
    for second in range(3):
        stopped = consumer.second(float(second), dict.fromkeys(range(6), (30, 30)))
    assert set(stopped) == set(range(6))
    assert consumer.second(10.0, {7: (49, 49), 8: (200, 49)}) == {}
    assert consumer.second(11.0, {7: (1, 1), 8: (10, 10)}) == {
        7: "50 dead letters in a row, as others of the consumer had before"
    }
    assert consumer.second(2.0 + 60.0, {9: (60, 60)}) == {}


def test_one_poisoned_partition_stops_alone():
    consumer = Consumer()
    stopped: dict[int, str] = {}
    for second in range(600):
        stopped = consumer.second(float(second), dict.fromkeys(range(12), (15, 0)) | {3: (15, 15)})
        if stopped:
            break
    assert set(stopped) == {3}
    assert consumer.dead == 510


def test_a_few_bad_records_in_a_quiet_stream_stop_nothing():
    consumer = Consumer()
    for second in range(0, 3_600, 60):
        outcomes = {second // 60 % 12: (3, 3), (second // 60 + 1) % 12: (3, 2)}
        assert consumer.second(float(second), outcomes) == {}

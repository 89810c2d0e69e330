"""What a consumer says of itself: its reason and its rates."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.equipment import Policies
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.status import Meter
from tests.kafka.lab import Lab
from tests.kafka.steps import StoreStep


def test_an_error_of_the_clients_is_the_reason_until_records_come_or_it_is_old():
    lab = Lab()
    lab.start()
    lab.turns(2)
    lab.source.hooks.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "_ALL_BROKERS_DOWN" in lab.pipeline.snapshot().reason
    lab.now += 31
    assert lab.pipeline.snapshot().reason == ""
    lab.source.say(KafkaError.UNKNOWN_TOPIC_OR_PART)
    lab.turns(1)
    assert "UNKNOWN_TOPIC_OR_PART" in lab.pipeline.snapshot().reason
    lab.send("a")
    lab.turns(1)
    assert lab.pipeline.snapshot().reason == ""


def test_a_tick_that_fails_is_the_reason_and_nothing_more():
    lab = Lab()

    class Ticking(StoreStep):
        def tick(self, now):
            raise TransientError("database: locked")

    lab.start(Ticking(lab.database))
    lab.send("a")
    lab.turns(3)
    assert lab.database.effects == ["a"]
    assert "database: locked" in lab.pipeline.snapshot().reason


def test_the_rate_is_unknown_before_it_can_be_known():
    lab = Lab()
    lab.start()
    assert lab.pipeline.snapshot().rate_in is None
    lab.send(*[f"m{n}" for n in range(100)])
    lab.turns(3)
    rate = lab.pipeline.snapshot().rate_in
    assert rate == pytest.approx(100 / 3)


def test_the_rate_out_is_what_the_step_wrote_and_unknown_where_it_does_not_count():
    lab = Lab()
    lab.start()
    lab.send("a", "b")
    lab.turns(3)
    assert lab.pipeline.snapshot().rate_out is None

    class Counting(StoreStep):
        @property
        def written(self) -> int:
            return len(self.database.effects) // 2

    counting = Lab()
    counting.start(Counting(counting.database))
    assert counting.pipeline.snapshot().rate_out is None
    counting.send(*[f"m{n}" for n in range(100)])
    counting.turns(3)
    assert counting.pipeline.snapshot().rate_out == pytest.approx(50 / 3)


def test_the_rate_of_batches_every_five_seconds_is_that_of_their_records():
    meter = Meter(window_s=10.0)
    rates = [meter.read(1_000 * (second // 5), float(second)) for second in range(60)]
    assert rates[0] is None
    assert all(rate == pytest.approx(200, abs=100) for rate in rates[20:])
    assert sum(rate or 0 for rate in rates[20:]) / 40 == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(
    ("policy", "over_s"),
    [(BatchPolicy(), 5), (BatchPolicy(linger_s=4.0), 8), (BatchPolicy(enough=10, wait_s=6.0), 12)],
)
def test_a_rate_tells_of_all_that_came_since_the_last_was_kept(policy: BatchPolicy, over_s: int):
    """Every 5 s one is kept for the sparklines, and pages show the newest: a burst is in one of them."""
    lab = Lab()
    lab.start(policies=Policies(batch=policy))

    def rates(seconds: int) -> list[float | None]:
        found = []
        for _ in range(seconds):
            lab.turns(1)
            found.append(lab.pipeline.snapshot().rate_in)
        return found

    rates(30)
    lab.send(*[f"m{n}" for n in range(60)])
    told = rates(25)
    held = [rate for rate in told if rate]
    assert held == pytest.approx([60 / over_s] * over_s)
    assert told[-1] == 0

"""Whatever group, broker and topic do, in any order: nothing ends the consumer or loses a record."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.kafka.lab import P0, P1, TOPIC, Lab

PLACES = [P0, P1]
REFUSED = ["refuse_commits", "refuse_seeks", "refuse_committed"]
REFUSALS = [
    None,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
]
tp = st.sampled_from(PLACES)
sends = st.tuples(st.just("send"), tp)
moves = st.tuples(st.sampled_from(["assign", "revoke", "lose"]), tp)
refusals = st.tuples(st.sampled_from(REFUSED), st.sampled_from(REFUSALS))
others = st.tuples(st.sampled_from(["remake", "renew", "restart"]), st.none())
# What happens between two turns.
between = st.lists(st.one_of(sends, moves, refusals, others), max_size=3)


class Chaos:
    """A consumer of two partitions, to which things happen. A record of a topic that is gone may be lost."""

    def __init__(self) -> None:
        self.lab = Lab(partitions=2)
        self.lab.start()
        self.sent: list[str] = []
        self.of_this_topic: list[str] = []
        self.ours = {P0, P1}

    def happens(self, what: str, argument: Any) -> None:
        lab = self.lab
        if what == "assign" and argument not in self.ours:
            self.ours.add(argument)
            lab.source.assign_now(argument)
        elif what == "revoke" and argument in self.ours:
            self.ours.remove(argument)
            lab.source.revoke_now(argument)
        elif what == "lose" and argument in self.ours:
            self.ours.remove(argument)
            lab.source.lose_now(argument)
        elif what == "send":
            self.sent.append(f"m{len(self.sent)}")
            self.of_this_topic.append(self.sent[-1])
            lab.send(self.sent[-1], partition=argument[1])
        elif what.startswith("refuse"):
            setattr(lab.source, what, argument)
        elif what == "remake":
            self.of_this_topic = []
            lab.remake()
        elif what == "renew":
            lab.pipeline.subscribe([TOPIC])
        elif what == "restart":
            lab.pipeline.close(commit=False)
            self.begin()

    def begin(self) -> None:
        self.lab.start(topic_id=self.lab.topic_id)
        self.ours = {P0, P1}

    def turn(self) -> None:
        client = self.lab.source
        self.lab.turns(1)
        if self.lab.source is not client:
            # It has joined anew, and is given everything.
            self.ours = {P0, P1}

    def calms_down(self) -> None:
        for what in REFUSED:
            setattr(self.lab.source, what, None)
        for missing in PLACES:
            self.happens("assign", missing)
        for _ in range(20):
            self.happens("renew", None)
            self.turn()


@given(st.lists(between, max_size=15))
@hypothesis_settings(max_examples=200, deadline=None)
def test_every_record_is_applied_once(happening: list[list[tuple[str, Any]]]) -> None:
    chaos = Chaos()
    for events in happening:
        for what, argument in events:
            chaos.happens(what, argument)
        chaos.turn()
    chaos.calms_down()
    effects = chaos.lab.database.effects
    assert sorted(set(effects)) == sorted(effects), "applied twice"
    assert set(chaos.of_this_topic) <= set(effects) <= set(chaos.sent)
    assert chaos.lab.pipeline.halted is None

"""What a consumer is equipped with, one subject each: Kafka, its work, its stores, its time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gdsconsole.kafka import errors
from gdsconsole.kafka.clients import ClientHooks, Source
from gdsconsole.kafka.consuming.batching import BatchPolicy
from gdsconsole.kafka.consuming.decoding import Decoder
from gdsconsole.kafka.consuming.halts import HaltStore
from gdsconsole.kafka.consuming.rebalance import Starts
from gdsconsole.kafka.consuming.retries import BreakerPolicy, FailureStore, RetryPolicy
from gdsconsole.kafka.consuming.topic_watch import Identify, TopicIds
from gdsconsole.kafka.dead_letters.claims import ClaimStore
from gdsconsole.kafka.dead_letters.writer import DeadLetterWriter
from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.step import Step

IDLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Policies:
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)  # of a partition
    consumer_breaker: BreakerPolicy = field(
        default_factory=lambda: BreakerPolicy(max_dead_letters=20_000, min_records=1_000)
    )  # of all partitions of a consumer together


@dataclass(frozen=True, slots=True)
class Transport:
    """How a consumer reaches Kafka.

    `open_source` makes its client, in the process that uses it. `identify` tells which topics these are, and
    `topic_ids` does in a thread. `dead_letters` is None where the decoder takes everything; `onward` is what
    the step sends records on by.
    """

    open_source: Callable[[ClientHooks], Source]
    identify: Identify
    topic_ids: TopicIds | None = None
    dead_letters: DeadLetterWriter | None = None
    onward: Forwarding | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a consumer does with a batch, and what it makes of a failure.

    `classify` knows failures that this package doesn't (a locked database). `placed` is told where partitions
    start, before their first records come.
    """

    decoder: Decoder
    step: Step[Any]
    policies: Policies = field(default_factory=Policies)
    classify: Callable[[BaseException], errors.FailureKind] = errors.classify
    placed: Callable[[Starts], None] | None = None


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives the process. `claims` shares with other groups the dead letters that none can decode."""

    failures: FailureStore
    halts: HaltStore
    claims: ClaimStore | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """`clock` is seconds since 1970, `jitter` 0 to 1; a poll that gets no record ends after `idle_s`."""

    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    idle_s: float = IDLE_S

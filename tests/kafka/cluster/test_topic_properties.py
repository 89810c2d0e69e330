"""Properties mean what Kafka takes them for, however they are written."""

from __future__ import annotations

import pytest

from gdsconsole.kafka.cluster.topic_properties import LONG_MAX, check, lasts_for_ever, same


@pytest.mark.parametrize(
    ("name", "declared", "told"),
    [
        ("min.cleanable.dirty.ratio", "0.50", "0.5"),
        ("min.cleanable.dirty.ratio", "5e-1", "0.5"),
        ("min.cleanable.dirty.ratio", "0.0001", "1.0E-4"),
        ("segment.ms", "0600000", "600000"),
        ("segment.ms", " +600000 ", "600000"),
        ("preallocate", "False", "false"),
        ("unclean.leader.election.enable", "TRUE", "true"),
        ("follower.replication.throttled.replicas", "0:1, 1:2", "0:1,1:2"),
        ("cleanup.policy", "compact,delete", "delete,compact"),
        ("message.timestamp.type", " LogAppendTime", "LogAppendTime"),
        ("partitions", "12", "12"),
    ],
)
def test_what_a_broker_takes_for_the_same_is_the_same(name: str, declared: str, told: str) -> None:
    assert same(name, declared, told)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("segment.ms", "600000", "6000000"),
        ("preallocate", "false", "true"),
        ("min.cleanable.dirty.ratio", "0.5", "0.05"),
        ("cleanup.policy", "compact", "compact,delete"),
        ("segment.ms", "1", None),
        ("message.timestamp.type", "CreateTime", "createtime"),
    ],
)
def test_what_differs_differs(name: str, one: str, other: str | None) -> None:
    assert not same(name, one, other)
    assert not same(name, other, one)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("segment.bytes", "1 GiB", "is not a whole number"),
        ("segment.bytes", "1_000", "is not a whole number"),
        ("segment.bytes", "2147483648", "is beyond 32 bits"),
        ("segment.ms", "7d", "is not a whole number"),
        ("segment.ms", "9" * 5_000, "is beyond 64 bits"),
        ("segment.ms", "\u0663", "is not a whole number"),
        ("preallocate", "yes", "is neither true nor false"),
        ("min.cleanable.dirty.ratio", "1.5", "is not a number between 0 and 1"),
        ("min.cleanable.dirty.ratio", "nan", "is not a number between 0 and 1"),
        ("message.timestamp.type", "createtime", "is not one of CreateTime, LogAppendTime"),
    ],
)
def test_what_no_broker_understands_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(name, value)


@pytest.mark.parametrize("number", [-1, LONG_MAX])
def test_retention_without_an_end(number: int) -> None:
    assert lasts_for_ever(number)
    assert not lasts_for_ever(604_800_000)

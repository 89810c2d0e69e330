from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings
from tests.commands.running import end, manage, start
from tests.factories import make_record
from tests.kafka.reading import read_all
from tests.waiting import wait_until
from topics.simulator import POISON, telemetry
from topics.telemetry import decode_metric

LINE: bytes = make_record().value() or b""


@pytest.fixture
def settings(kafka: KafkaCluster) -> ClientSettings:
    return ClientSettings(kafka.bootstrap_servers)


def many(count: int) -> list[bytes]:
    noon = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
    return [value or b"" for _, value in islice(telemetry(clock=lambda: noon, instances=40), count)]


def values(settings: ClientSettings, topic: str) -> list[bytes]:
    return [record.value() for record in read_all(settings, topic)]


@pytest.mark.kafka
def test_a_metric_from_standard_input_is_delivered(settings: ClientSettings, fresh_topic: str) -> None:
    ended = manage("send_metrics", "-", "--topic", fresh_topic, given=LINE + b"\n")
    assert (ended.code, ended.err) == (0, "")
    assert ended.result == {"read": 1, "delivered": 1, "failed": 0}
    [record] = read_all(settings, fresh_topic)
    assert (record.key(), record.value()) == (b"postgresql:prod-db-01", LINE)


@pytest.mark.kafka
def test_a_file_is_delivered_as_it_is_with_fields_the_console_does_not_know(
    settings: ClientSettings, fresh_topic: str, tmp_path: Path
) -> None:
    lines = [line[:-1] + b', "host": "h%d"}' % n for n, line in enumerate(many(3000))]
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b"\r\n".join(lines))
    ended = manage("send_metrics", str(file), "--topic", fresh_topic, "--batch", "7")
    assert ended.result == {"read": 3000, "delivered": 3000, "failed": 0}
    assert sorted(values(settings, fresh_topic)) == sorted(lines)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("key_by", "key"),
    [
        ("instance", b"postgresql:prod-db-01"),
        ("metric", b"cpu_usage_percent"),
        ("tenant", b"acme"),
        ("none", None),
    ],
)
def test_the_key_is_what_was_asked_for(
    settings: ClientSettings, fresh_topic: str, key_by: str, key: bytes | None
) -> None:
    line = LINE.replace(b'"tags":{', b'"tags":{"tenant_id":"acme",')
    manage("send_metrics", "--topic", fresh_topic, "--key-by", key_by, given=line)
    assert [record.key() for record in read_all(settings, fresh_topic)] == [key]


@pytest.mark.kafka
def test_bad_lines_are_named_by_number_and_the_good_ones_go(
    settings: ClientSettings, fresh_topic: str
) -> None:
    bad = b'{"value": 1}\n\nnot json\n\xff\n' + LINE.replace(b"85.5", b'"x"')
    ended = manage("send_metrics", "--topic", fresh_topic, given=LINE + b"\n" + bad + b"\n" + LINE)
    assert ended.code == 1
    assert ended.result == {"read": 6, "delivered": 2, "failed": 4}
    told = ended.err.splitlines()
    assert [line.partition(":")[0] for line in told] == ["line 2", "line 4", "line 5", "line 6"]
    assert "value: expected a finite number, got 'x'" in told[3]
    assert values(settings, fresh_topic) == [LINE, LINE]


@pytest.mark.kafka
def test_every_kind_of_poison_is_a_bad_line(fresh_topic: str) -> None:
    metric = decode_metric(LINE)
    poison = [value for spoil in POISON.values() if (value := spoil(metric))]
    ended = manage("send_metrics", "--topic", fresh_topic, given=b"\n".join(poison))
    assert ended.result == {"read": len(poison), "delivered": 0, "failed": len(poison)}


@pytest.mark.kafka
def test_a_line_the_broker_refuses_is_named_by_its_number_and_its_neighbours_go(
    settings: ClientSettings, topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory(partitions=1, config={"max.message.bytes": "20000"})
    large = LINE[:-1] + b',"blob":"' + os.urandom(30_000).hex().encode() + b'"}'
    ended = manage("send_metrics", "--topic", topic, given=b"\n".join([LINE, large, LINE]))
    assert ended.result == {"read": 3, "delivered": 2, "failed": 1}
    assert ended.err.startswith("line 2: ")
    assert "MSG_SIZE_TOO_LARGE" in ended.err
    assert values(settings, topic) == [LINE, LINE]


@pytest.mark.kafka
def test_a_transaction_with_a_bad_line_sends_nothing(settings: ClientSettings, fresh_topic: str) -> None:
    given = b"\n".join([*many(500), b"bad", *many(500), b"worse"])
    ended = manage("send_metrics", "--topic", fresh_topic, "--transactional", given=given)
    assert ended.code == 1
    assert ended.result == {"read": 1002, "delivered": 0, "failed": 1002}
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == [
        "line 501",
        "line 1002",
        "the transaction was aborted",
    ]
    assert values(settings, fresh_topic) == []


@pytest.mark.kafka
def test_a_transaction_of_good_lines_sends_all(settings: ClientSettings, fresh_topic: str) -> None:
    lines = many(2000)
    ended = manage("send_metrics", "--topic", fresh_topic, "--transactional", given=b"\n".join(lines))
    assert (ended.code, ended.err) == (0, "")
    assert ended.result == {"read": 2000, "delivered": 2000, "failed": 0}
    assert sorted(values(settings, fresh_topic)) == sorted(lines)


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_flushes_and_reports_what_was_delivered(
    settings: ClientSettings, fresh_topic: str, number: signal.Signals
) -> None:
    process = start("send_metrics", "-", "--topic", fresh_topic)
    assert process.stdin is not None
    process.stdin.write(LINE + b"\n" + LINE + b"\n")
    process.stdin.flush()
    wait_until(lambda: len(values(settings, fresh_topic)) == 2, 30, "both lines are delivered")
    process.send_signal(number)
    ended = end(process)
    assert ended.code == 1
    assert ended.result == {"read": 2, "delivered": 2, "failed": 0}
    assert ended.err == "interrupted after 2 lines\n"


@pytest.mark.kafka
def test_an_interrupt_in_a_transaction_sends_nothing(settings: ClientSettings, fresh_topic: str) -> None:
    process = start("send_metrics", "-", "--topic", fresh_topic, "--transactional")
    assert process.stdin is not None
    process.stdin.write(LINE + b"\n")
    process.stdin.flush()
    wait_until(
        lambda: len(read_all(settings, fresh_topic, isolation_level="read_uncommitted")) == 1,
        30,
        "the line is written and not committed",
    )
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.result == {"read": 1, "delivered": 0, "failed": 1}
    assert values(settings, fresh_topic) == []


@pytest.mark.kafka
def test_an_unknown_topic_is_one_line_that_names_it(kafka: KafkaCluster) -> None:
    ended = manage("send_metrics", "--topic", "gds.metrics.absent", given=LINE)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"CommandError: topic 'gds.metrics.absent' does not exist on Kafka at {kafka.bootstrap_servers}\n"
    )


@pytest.mark.parametrize("words", [(), ("--transactional",)])
def test_kafka_down_is_one_line_that_names_its_address(words: tuple[str, ...]) -> None:
    nowhere = f"127.0.0.1:{ports.free(1)[0]}"
    began = time.monotonic()
    ended = manage(
        "send_metrics",
        "--topic",
        "gds.metrics.production",
        *words,
        given=LINE,
        KAFKA_BOOTSTRAP_SERVERS=nowhere,
    )
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert nowhere in ended.err
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("words", "environment", "code", "named"),
    [
        (["/no/such/file"], {}, 1, "/no/such/file: No such file or directory"),
        (["/"], {}, 1, "/: Is a directory"),
        (["-", "--batch", "0"], {}, 2, "--batch: a whole number from 1, not '0'"),
        (["-", "--timeout", "nan"], {}, 2, "--timeout: a number of seconds above 0, not 'nan'"),
        (["-", "--key-by", "colour"], {}, 2, "'colour'"),
        (["-"], {"KAFKA_CONFIG_ACKZ": "1"}, 1, "KAFKA_CONFIG_ACKZ"),
        (["-"], {"KAFKA_CONFIG_ACKS": "most"}, 1, "KAFKA_CONFIG_ACKS"),
    ],
)
def test_wrong_use_names_what_is_wrong(
    words: list[str], environment: dict[str, Any], code: int, named: str
) -> None:
    ended = manage("send_metrics", *words, "--topic", "gds.metrics.production", **environment)
    assert (ended.code, ended.out) == (code, "")
    assert named in ended.err
    assert "Traceback" not in ended.err


def test_the_help_shows_an_example() -> None:
    ended = manage("send_metrics", "--help")
    assert "manage.py send_metrics metrics.jsonl --topic gds.metrics.production" in ended.out

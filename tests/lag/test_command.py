"""`manage.py lag`, as a user runs it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from gdsconsole.devstack import ports
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from tests.commands.running import manage
from tests.lag.kafka_groups import Groups

FIELDS = {"group", "state", "status", "total_lag", "unknown_partitions", "partitions"}
PARTITION_FIELDS = {
    "topic",
    "partition",
    "committed",
    "end",
    "log_start",
    "lag",
    "lost",
    "age_s",
    "method",
}


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("lag", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("lag", "--help")
    assert ended.value.code == 0
    assert "manage.py lag --group gds-alerting" in capsys.readouterr().out


def test_a_down_kafka_is_one_line_that_names_it() -> None:
    address = f"127.0.0.1:{ports.free(1)[0]}"
    ended = manage("lag", "--json", KAFKA_BOOTSTRAP_SERVERS=address)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"CommandError: Kafka at {address} is unreachable: ")
    assert ended.err.count("\n") == 1


@pytest.mark.django_db
def test_a_wrong_setting_is_named(settings: LazySettings) -> None:
    settings.KAFKA_CONFIG = {"sasl.mechanismus": "PLAIN"}
    code, out, err = run()
    assert (code, out) == (1, "")
    assert "KAFKA_CONFIG_SASL_MECHANISMUS" in err


@pytest.mark.kafka
@pytest.mark.django_db
def test_json_is_one_reading_of_every_group(groups: Groups, topic_factory: Callable[..., str]) -> None:
    topic = topic_factory(partitions=2)
    group, other = groups.name(), groups.name()
    groups.produce(topic, 30)
    groups.produce(topic, 7, partition=1)
    groups.commit(group, topic, {0: 10, 1: 7})
    groups.commit(other, topic, {0: 30})
    code, out, err = run("--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = {one["group"]: one for one in json.loads(out)}
    assert {group, other} <= found.keys()
    assert found[group].keys() >= FIELDS
    assert (found[group]["state"], found[group]["total_lag"], found[group]["unknown_partitions"]) == (
        "Empty",
        20,
        0,
    )
    first, second = found[group]["partitions"]
    assert first.keys() >= PARTITION_FIELDS
    assert (first["topic"], first["partition"], first["committed"], first["end"]) == (topic, 0, 10, 30)
    assert (first["log_start"], first["lag"], first["lost"], first["method"]) == (0, 20, 0, "record")
    assert 0 <= first["age_s"] < 60
    assert (second["lag"], second["age_s"], second["method"]) == (0, 0.0, "caught-up")
    assert (found[other]["status"], found[other]["total_lag"]) == ("empty", 0)


@pytest.mark.kafka
@pytest.mark.django_db
def test_one_group_as_a_table_with_its_partitions(groups: Groups, fresh_topic: str) -> None:
    groups.produce(fresh_topic, 1_234)
    group = groups.name()
    with groups.member(group, fresh_topic, read=0) as member:
        groups.produce(fresh_topic, 10, partition=2)
        member.commit(offsets=[TopicPartition(fresh_topic, 0, 34)], asynchronous=False)
        code, out, err = run("--group", group)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["GROUP", "STATUS", "LAG", "AGE", "LOST", "CONSUMED", "STATE"]
    assert lines[1].split()[:3] == [group, "unknown", "1,200"]
    assert lines[1].endswith("Stable")
    assert "and an unknown lag of 1 partitions" in lines[2]
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(fresh_topic)}
    assert rows[f"{fresh_topic}-0"][2:5] == ["34", "1,234", "1,200"]
    assert rows[f"{fresh_topic}-1"][4] == "0"
    assert rows[f"{fresh_topic}-2"][2:6] == ["unknown", "10", "unknown", "unknown"]
    assert "no commit: 0 behind by auto.offset.reset=latest, 10 by earliest" in out


@pytest.mark.kafka
@pytest.mark.django_db
def test_a_group_that_is_not_there(kafka: KafkaCluster) -> None:
    code, out, err = run("--group", "nobody-of-this-name", "--json")
    assert (code, out) == (1, "")
    assert err == f"Kafka at {kafka.bootstrap_servers} has no consumer group 'nobody-of-this-name'"

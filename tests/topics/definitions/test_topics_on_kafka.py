"""plan, apply, drift and check against a real cluster, through the commands people use."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from django.core.management import CommandError, call_command

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.cluster import topic_admin
from gdsconsole.kafka.cluster.topic_admin import ChangeRefused, Origin
from gdsconsole.pipelines.connection import kafka_settings
from tests.factories import by
from tests.waiting import wait_until
from topics.definitions import services
from topics.models import TopicDefinition

pytestmark = [pytest.mark.kafka, pytest.mark.django_db]


@pytest.fixture
def names(kafka: KafkaCluster, kafka_admin: AdminClient) -> Iterator[Callable[..., str]]:
    """Names of topics of this test alone; whatever it made is deleted afterwards."""
    given: list[str] = []

    def name(environment: str = "production") -> str:
        made = f"t{uuid.uuid4().hex[:10]}.metrics.{environment}"
        given.append(made)
        return made

    yield name
    there = kafka_admin.list_topics(timeout=10).topics
    for future in kafka_admin.delete_topics([one for one in given if one in there] or ["none"]).values():
        future.exception(30)


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `manage.py topics ...`."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("topics", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def set_config(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_plan_apply_plan(names: Callable[..., str], kafka_admin: AdminClient) -> None:
    name = names()
    services.define_topic(name=name, extra_config={"segment.ms": "3600000"}, **by())
    code, out, _ = run("plan")
    assert code == 2
    assert f"+ create  {name}  partitions 12, replication.factor 3" in out
    assert "1 change, nothing applied" in out
    assert name not in kafka_admin.list_topics(timeout=10).topics

    code, out, _ = run("apply")
    assert (code, out.count("+ create")) == (0, 1)
    live = topic_admin.describe_topics(kafka_settings(), [name]).topics[name]
    assert (len(live.partitions), live.replication_factor) == (12, 3)
    assert {key: live.config[key].value for key in ("retention.ms", "min.insync.replicas", "segment.ms")} == {
        "retention.ms": "604800000",
        "min.insync.replicas": "2",
        "segment.ms": "3600000",
    }
    assert live.config["segment.ms"].origin is Origin.TOPIC
    assert live.config["flush.ms"].origin is Origin.DEFAULT
    assert len(live.topic_id) > 10

    assert run("plan")[0] == 0
    code, out, _ = run("apply")
    assert (code, out) == (0, "nothing to do: 1 topics are as declared\n")
    assert TopicDefinition.objects.get().last_applied["partitions"] == 12


def test_settings_as_people_write_them_are_applied_once(names: Callable[..., str]) -> None:
    """A broker tells a value as it understood it: compared as text, each would differ for ever."""
    name = names()
    written = {
        "min.cleanable.dirty.ratio": "0.50",
        "segment.ms": "0600000",
        "preallocate": "False",
        "follower.replication.throttled.replicas": "0:1, 1:2",
    }
    services.define_topic(name=name, partitions=1, extra_config=written, **by())
    assert run("apply")[0] == 0
    assert run("plan")[0] == 0
    changed = written | {"min.cleanable.dirty.ratio": "0.250", "segment.bytes": " 02097152 "}
    services.define_topic(name=name, extra_config=changed, retention_ms=2**63 - 1, **by())
    # What it waits for is what brokers tell.
    code, _, err = run("apply")
    assert (code, err) == (0, "")
    assert run("plan")[0] == 0
    code, out, _ = run("drift")
    assert (code, name in out) == (0, False), out


def test_changes_to_a_live_topic(names: Callable[..., str]) -> None:
    name = names()
    services.define_topic(name=name, partitions=3, **by())
    assert run("apply")[0] == 0
    services.define_topic(name=name, partitions=5, retention_ms=3_600_000, **by())
    code, out, _ = run("plan", "--json")
    assert code == 2
    changes = {change["kind"]: (change["before"], change["after"]) for change in json.loads(out)["changes"]}
    assert changes == {
        "add partitions": ({"partitions": "3"}, {"partitions": "5"}),
        "alter config": ({"retention.ms": "604800000"}, {"retention.ms": "3600000"}),
    }
    assert run("apply")[0] == 0
    assert run("plan")[0] == 0


def test_what_kafka_cannot_do_is_refused_and_the_rest_is_done(names: Callable[..., str]) -> None:
    name = names()
    services.define_topic(name=name, partitions=5, **by())
    assert run("apply")[0] == 0
    services.define_topic(
        name=name,
        partitions=3,
        replication_factor=2,
        min_insync_replicas=1,
        retention_ms=3_600_000,
        **by(),
    )
    code, out, _ = run("apply")
    assert code == 2
    assert "! refused" in out
    assert "Kafka can't take partitions away" in out
    assert "use kafka-reassign-partitions" in out
    live = topic_admin.describe_topics(kafka_settings(), [name]).topics[name]
    assert (len(live.partitions), live.replication_factor) == (5, 3)
    assert live.config["retention.ms"].value == "3600000"


def test_nothing_is_ever_deleted(names: Callable[..., str], kafka_admin: AdminClient) -> None:
    name = names()
    services.define_topic(name=name, partitions=1, **by())
    assert run("apply")[0] == 0
    TopicDefinition.objects.all().delete()
    assert run("plan")[0] == 0
    assert run("apply")[0] == 0
    assert name in kafka_admin.list_topics(timeout=10).topics
    assert name in json.loads(run("drift", "--json")[1])["undeclared"]


def test_drift_tells_who_changed_what(names: Callable[..., str], kafka_admin: AdminClient) -> None:
    name = names()
    services.define_topic(name=name, partitions=3, **by())
    assert run("apply")[0] == 0
    assert run("drift")[0] == 0
    set_config(kafka_admin, name, "retention.ms", "7200000")
    set_config(kafka_admin, name, "segment.ms", "60000")
    # The broker that is asked may learn of the changes a moment after the one that made them.
    drift = wait_until(
        lambda: len(rows := json.loads(run("drift", "--json")[1])["drift"]) == 2 and rows,
        10,
        "both are seen",
    )
    found = {row["name"]: (row["declared"], row["live"], row["verdict"]) for row in drift}
    assert run("drift")[0] == 2
    assert found == {
        "retention.ms": ("604800000", "7200000", "changed on the cluster since it was applied"),
        "segment.ms": (None, "60000", "set on the cluster, not declared"),
    }
    assert f"{name}  retention.ms: declared 604800000, applied 604800000, live 7200000" in run("drift")[1]


def test_the_checklist(names: Callable[..., str]) -> None:
    name = names()
    services.define_topic(name=name, **by())
    services.define_topic(name=name.replace("production", "dlq"), **by())
    assert run("check")[0] == 2
    run("apply")
    # A broker hears of a new topic a moment after the controller has made it.
    wait_until(lambda: run("check")[0] == 0, 10, "the checklist finds what was made")
    code, out, _ = run("check")
    assert code == 0, out
    services.define_topic(name=name, compression_type="uncompressed", min_insync_replicas=1, **by())
    run("apply")
    code, out, _ = run("check", "--json")
    failed = {row["check"] for row in json.loads(out) if not row["passed"]}
    assert (code, failed) == (2, {"compression enabled", "min.insync.replicas >= 2"})


def test_the_clusters_refusal_is_one_line(names: Callable[..., str]) -> None:
    name = names()
    services.define_topic(name=name, extra_config={"segment.bytes": "7"}, **by())
    code, _, err = run("apply")
    assert code == 1
    assert "failed:" in err
    assert "segment.bytes" in err
    assert TopicDefinition.objects.get().last_applied is None


def test_a_topic_made_meanwhile_is_not_overwritten(names: Callable[..., str]) -> None:
    name = names()
    settings = kafka_settings()
    fields: dict[str, Any] = {"partitions": 1, "replication_factor": 1, "config": {}}
    assert topic_admin.create_topic(settings, name, **fields) is True
    assert topic_admin.create_topic(settings, name, **fields) is False


def test_partitions_added_are_seen_at_once(names: Callable[..., str]) -> None:
    name = names()
    settings = kafka_settings()
    topic_admin.create_topic(settings, name, partitions=1, replication_factor=3, config={})
    topic_admin.add_partitions(settings, name, total=4)
    assert len(topic_admin.describe_topics(settings, [name]).topics[name].partitions) == 4
    with pytest.raises(ChangeRefused):
        topic_admin.add_partitions(settings, name, total=2)


def test_partitions_added_by_others_show_in_the_next_reading(
    names: Callable[..., str], kafka_admin: AdminClient
) -> None:
    name = names()
    services.define_topic(name=name, partitions=2, **by())
    run("apply")
    kafka_admin.create_partitions([NewPartitions(name, 4)])[name].result(30)
    # A broker learns of them a moment after the controller made them; a stale client, not for minutes.
    _, out, _ = wait_until(lambda: (said := run("plan"))[0] == 2 and said, 10, "the plan sees them")
    assert "partitions 4 -> 2: refused" in out


def test_a_cluster_that_is_down_is_one_line_with_its_address(settings: Any) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9"
    services.define_topic(name="gds.metrics.production", **by())
    for action in ("plan", "check"):
        code, out, err = run(action)
        assert (code, out) == (1, "")
        assert err.startswith("Kafka at 127.0.0.1:9 is unreachable:")
        assert "\n" not in err


def test_export_and_import_by_file(tmp_path: Any) -> None:
    services.define_topic(name="gds.metrics.production", owner="dba", **by())
    code, out, _ = run("export")
    assert code == 0
    file = tmp_path / "topics.json"
    file.write_text(out)
    TopicDefinition.objects.update(owner="someone else")
    code, out, _ = run("import", str(file))
    assert (code, "changed: gds.metrics.production" in out) == (0, True)
    assert TopicDefinition.objects.get().owner == "dba"
    file.write_text("{}")
    code, out, err = run("import", str(file))
    assert (code, out) == (1, "")
    assert "nothing was imported" in err
    assert run("import", str(tmp_path / "absent.json"))[0] == 1

"""The topics' pages: what was declared beside what runs, and what is unknown said to be unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.kafka.cluster.groups import LogRange
from gdsconsole.live import publish as live
from tests.dlq.test_views import HOSTILE
from tests.topics.conftest import live_topic
from topics import seed
from topics.definitions import cluster_cache
from topics.definitions import views as topic_views
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db

METRICS, LOGS = "gds.metrics.production", "gds.logs.production"


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def declared() -> dict[str, TopicDefinition]:
    """The guide's four topics."""
    seed.install_guide_definitions()
    return {definition.name: definition for definition in TopicDefinition.objects.all()}


@pytest.fixture(autouse=True)
def ranges(monkeypatch: pytest.MonkeyPatch) -> dict[int, LogRange]:
    """What each partition holds; 100 records where a test says nothing else."""
    said: dict[int, LogRange] = {}

    def answer(
        settings: Any, places: set[tuple[str, int]], timeout_s: float
    ) -> dict[tuple[str, int], LogRange]:
        return {place: said.get(place[1], LogRange(0, 100, 100)) for place in places}

    monkeypatch.setattr(topic_views, "read_log_ranges", answer)
    return said


class TestList:
    def test_drift_and_failed_checks_stand_first(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
    ) -> None:
        everything = [
            live_topic(
                one, replicas=1 if one.name == METRICS else 3, config=DRIFT if one.name == LOGS else {}
            )
            for one in declared.values()
            if one.name != "gds.metrics.dlq"
        ]
        cluster_is(*everything, others=("somebody.elses", "__consumer_offsets"))
        response = operator.get("/topics/")
        assert [row["name"] for row in response.context["rows"]] == [
            "gds.metrics.dlq",
            METRICS,
            LOGS,
            "gds.alerts.production",
        ]
        page = text_of(response)
        assert "gds.metrics.dlq is not on the cluster; 2 topics differ from what was declared" in page
        assert "retention.ms 86400000, declared 604800000" in page
        assert "somebody.elses" in page
        assert "__consumer_offsets" not in page

    def test_all_is_well(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        cluster_is(*(live_topic(one) for one in declared.values()))
        assert "All 4 topics run as declared and pass every check." in text_of(operator.get("/topics/"))

    def test_a_small_cluster_is_no_drift(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        small = {"replicas": 1, "config": {"min.insync.replicas": "1"}}
        cluster_is(*(live_topic(one, **small) for one in declared.values()), brokers=1)
        response = operator.get("/topics/")
        assert {row["state"].state for row in response.context["rows"]} == {"in sync"}
        assert "4 topics fail replication.factor &gt;= 3 and min.insync.replicas &gt;= 2." in text_of(
            response
        )

    def test_nothing_declared(self, operator: Client, cluster_is: Callable[..., None]) -> None:
        cluster_is()
        assert "manage.py seed --no-users" in text_of(operator.get("/topics/"))

    def test_search(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        cluster_is(*(live_topic(one) for one in declared.values()))
        found = operator.get("/topics/?q=METRICS").context["rows"]
        assert [row["name"] for row in found] == ["gds.metrics.dlq", METRICS]
        assert "No declared topic passes these filters." in text_of(operator.get("/topics/?q=nothing"))

    def test_rates_are_shown_where_known_and_live(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_url: str,
    ) -> None:
        cluster_is(*(live_topic(one) for one in declared.values()))
        live.publish("topic.rates", METRICS, {"rate_in": 1234.0, "end_total": 5_000_000})
        live.flush()
        page = text_of(operator.get("/topics/"))
        assert f'data-live="topic.rates:{METRICS}:rate_in"' in page
        assert "1.2 k/s" in page
        assert page.count('data-format="rate"') == 4

    def test_a_rate_of_long_ago_is_unknown(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        cluster_is(*(live_topic(one) for one in declared.values()))
        live.publish("topic.rates", METRICS, {"rate_in": 1234.0, "end_total": 5_000_000})
        live.flush()
        monkeypatch.setattr(topic_views, "STALE_S", -1.0)
        assert "1.2 k/s" not in text_of(operator.get("/topics/"))


class TestOne:
    def test_fields_three_ways(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        declared[LOGS].last_applied = {
            "partitions": 12,
            "replication_factor": 3,
            "config": declared[LOGS].declared_config(),
        }
        declared[LOGS].save()
        cluster_is(live_topic(declared[LOGS], partitions=14, config=DRIFT))
        response = operator.get(f"/topics/{LOGS}/")
        fields = {field["name"]: field for field in response.context["fields"]}
        values = fields["retention.ms"]
        assert [values[side]["words"] for side in ("declared", "applied", "live")] == ["7 d", "7 d", "1 d"]
        assert values["drift"].verdict == "changed on the cluster since it was applied"
        assert fields["segment.bytes"]["drift"].verdict == "set on the cluster, not declared"
        assert fields["segment.bytes"]["declared"]["exact"] is None
        assert fields["cleanup.policy"]["drift"] is None
        assert "14 partitions, 3 replicas of each; 3 fields differ from what was declared." in text_of(
            response
        )

    def test_partitions_skew_and_what_is_wrong_with_them(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        ranges: dict[int, LogRange],
    ) -> None:
        ranges |= {0: LogRange(500, 2_500, 2_500), 1: LogRange(None, None, None, error="no answer")}
        cluster_is(live_topic(declared[METRICS], in_sync=(1, 2)))
        response = operator.get(f"/topics/{METRICS}/")
        partitions = response.context["partitions"]
        assert [row["count"] for row in partitions["rows"][:3]] == [2_000, None, 100]
        assert partitions["total"] is None
        assert partitions["is_uneven"]
        page = text_of(response)
        assert "12 partitions miss replicas: a broker is down or slow." in page
        assert "skewed: keys fall together" in page

    def test_a_partition_without_a_leader(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        topic = live_topic(declared[METRICS])
        gone = [
            part if part.partition else type(part)(part.topic, 0, None, part.replicas, ())
            for part in topic.partitions
        ]
        cluster_is(type(topic)(topic.name, topic.topic_id, tuple(gone), 3, topic.config))
        assert "1 partition has no leader: nothing can be written there or read." in text_of(
            operator.get(f"/topics/{METRICS}/")
        )

    def test_a_few_records_are_not_called_uneven(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        ranges: dict[int, LogRange],
    ) -> None:
        ranges |= {number: LogRange(0, 0, 0) for number in range(1, 12)}
        cluster_is(live_topic(declared[METRICS]))
        assert not operator.get(f"/topics/{METRICS}/").context["partitions"]["is_uneven"]

    def test_the_checklist_has_its_details(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        cluster_is(live_topic(declared[METRICS]))
        page = text_of(operator.get(f"/topics/{METRICS}/"))
        assert "the topic for its dead letters is not on the cluster" in page
        assert "12 partitions over 3 brokers" in page

    def test_groups_on_it(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_url: str,
    ) -> None:
        cluster_is(live_topic(declared[METRICS]))
        for slot, held in enumerate([[f"{METRICS}-0", f"{METRICS}-1"], [f"{METRICS}-2"], [f"{LOGS}-0"]]):
            live.publish(
                "pipeline.stats",
                f"alerting/{slot}",
                {"group": "gds-alerting", "state": "running", "partitions": held, "rate_in": 10.0},
            )
        for group, topics in {
            "gds-alerting": {METRICS: 7, LOGS: 1},
            "somebody/elses": {METRICS: 900},
            "of-logs": {LOGS: 5},
            "unread": {METRICS: None},
        }.items():
            sample = {"group": group, "status": "ok", "consumed_per_s": 3.0, "topics": topics}
            live.publish("lag.sampled", group, sample)
        live.flush()
        response = operator.get(f"/topics/{METRICS}/")
        readers = {reader["group"]: reader for reader in response.context["readers"]}
        assert list(readers) == ["somebody/elses", "gds-alerting", "unread"]
        own = readers["gds-alerting"]
        assert (own["partitions"], own["consumers"], own["rate"], own["lag"]) == (3, 2, 20.0, 7)
        assert (readers["somebody/elses"]["rate"], readers["unread"]["lag"]) == (3.0, None)
        page = text_of(response)
        assert f'href="{reverse("lag:group", args=["somebody/elses"])}"' in page
        assert "3 partitions, 2 consumers" in page

    def test_no_group_reads_it(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_url: str,
    ) -> None:
        cluster_is(live_topic(declared[METRICS]))
        live.publish("lag.sampled", "of-logs", {"status": "ok", "consumed_per_s": 0.0, "topics": {LOGS: 5}})
        live.flush()
        assert "No consumer group reads it now." in text_of(operator.get(f"/topics/{METRICS}/"))

    def test_groups_that_could_not_be_read_are_unknown_not_none(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_url: str,
    ) -> None:
        cluster_is(live_topic(declared[METRICS]))
        live.publish("lag.sampled", "g", {"status": "unknown", "consumed_per_s": None, "topics": None})
        live.flush()
        assert "unknown: their readings failed, or nobody takes them" in text_of(
            operator.get(f"/topics/{METRICS}/")
        )

    def test_without_redis_groups_are_unknown_not_none(
        self,
        operator: Client,
        declared: dict[str, TopicDefinition],
        cluster_is: Callable[..., None],
        redis_server: RedisServer,
    ) -> None:
        redis_server.kill()
        cluster_is(live_topic(declared[METRICS]))
        page = text_of(operator.get(f"/topics/{METRICS}/"))
        assert "unknown: their readings failed, or nobody takes them" in page
        assert "No consumer group reads it" not in page

    @pytest.mark.parametrize("name", ["gds.metrics.nowhere", "..", "x" * 300, "<script>"])
    def test_a_topic_nobody_declared(
        self, operator: Client, cluster_is: Callable[..., None], name: str
    ) -> None:
        cluster_is()
        assert operator.get(f"/topics/{name}/").status_code == 404

    def test_declared_and_not_there(
        self, operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None]
    ) -> None:
        cluster_is()
        page = text_of(operator.get(f"/topics/{METRICS}/"))
        assert "It is declared and not on the cluster." in page
        assert "manage.py topics apply" in page


DRIFT = {"retention.ms": "86400000", "segment.bytes": "10485760"}


class TestClusterAway:
    @pytest.fixture(autouse=True)
    def away(self, settings: Any) -> None:
        settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"

    def test_everything_declared_is_shown_and_the_rest_is_unknown(
        self, operator: Client, declared: dict[str, TopicDefinition]
    ) -> None:
        started = time.monotonic()
        response = operator.get("/topics/")
        assert time.monotonic() - started < 6
        page = text_of(response)
        assert "What runs is unknown: the cluster does not answer." in page
        assert "127.0.0.1:1" in page
        assert len(response.context["rows"]) == 4
        assert {row["state"].state for row in response.context["rows"]} == {"unknown"}
        assert "declared 12" in page
        assert "passed" not in page
        assert "On the cluster, not declared" not in page

        # Whoever looks next does not wait for another timeout.
        started = time.monotonic()
        page = text_of(operator.get(f"/topics/{METRICS}/"))
        assert time.monotonic() - started < 1
        assert "The cluster does not answer, so only what was declared is known." in page
        assert "Partitions are unknown" in page
        assert '<span class="unknown">unknown</span>' in page
        assert "Not on the cluster" not in page


class TestRealCluster:
    pytestmark = pytest.mark.kafka

    @pytest.fixture
    def topic(self, kafka: KafkaCluster, kafka_admin: AdminClient, settings: Any) -> Iterator[str]:
        settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
        name = "gds.pagetests.production"
        TopicDefinition.objects.create(
            name=name, partitions=3, extra_config={"retention.bytes": "1073741824"}
        )
        call_command("topics", "apply")
        yield name
        kafka_admin.delete_topics([name])[name].exception(30)

    def test_the_pages_show_what_is_there(
        self, topic: str, kafka: KafkaCluster, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        for number in range(30):
            producer.produce(topic, str(number).encode(), partition=number % 3)
        assert producer.flush(30) == 0
        monkeypatch.setattr(cluster_cache, "FRESH_S", 0.0)
        response = operator.get(f"/topics/{topic}/")
        partitions = response.context["partitions"]
        assert [row["count"] for row in partitions["rows"]] == [10, 10, 10]
        assert (partitions["total"], partitions["skew"]) == (30, 1.0)
        assert response.context["trouble"] is None
        page = text_of(response)
        assert "3 partitions, 3 replicas of each, as declared" in page
        assert "1 GiB" in page
        assert "runs as declared" in text_of(operator.get("/topics/"))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_is_declared_is_text(
    operator: Client, declared: dict[str, TopicDefinition], cluster_is: Callable[..., None], hostile: str
) -> None:
    TopicDefinition.objects.filter(name=METRICS).update(description=hostile, owner=hostile)
    topic = live_topic(declared[METRICS], config={hostile: hostile})
    cluster_is(topic, others=(hostile,))
    for path in ("/topics/", f"/topics/{METRICS}/", f"/topics/?q={hostile}"):
        page = operator.get(path).content.decode()
        for markup in ("<img src=x", "<svg onload", "<iframe", "<script>document", "<a href=javascript"):
            assert markup not in page, path
        assert "14evaluated" not in page, path

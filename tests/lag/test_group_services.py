from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gdsconsole.kafka.browsing.record_times import RecordTimes
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable
from gdsconsole.live import publish
from gdsconsole.live.snapshots import latest
from lag import services
from lag.group_readings import GroupReading, GroupsSnapshot, PartitionReading, TopicEnd
from lag.models import GroupSample, Method, Status
from lag.sample_window import SampleWindow
from lag.services import groups as group_services
from lag.services.groups import measured_lag, topic_rate
from tests.factories import SAMPLED_AT, make_group_sample
from tests.topics.making import make_alert_rule
from topics.models import Alert, AlertState

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
NOWHERE = ClientSettings("127.0.0.1:1")


def part(
    lag: int | None, *, partition: int = 0, committed: int | None = 100, **changes: Any
) -> PartitionReading:
    fields: dict[str, Any] = {
        "topic": "gds.metrics.production",
        "topic_id": "topic-1",
        "partition": partition,
        "committed": committed,
        "end": 100 + (lag or 0),
        "log_start": 0,
        "lag": lag,
        "lost": 0,
        "is_assigned": True,
        "age_s": 1.5,
        "method": Method.RECORD,
    }
    return PartitionReading(**fields | changes)


def group(*parts: PartitionReading, name: str = "gds-alerting", error: str | None = None) -> GroupReading:
    return GroupReading(name, "Stable", 1, parts, error)


class Cluster:
    """What the next readings find, instead of a cluster, and the samples made of them."""

    def __init__(self) -> None:
        self.found: GroupsSnapshot | KafkaUnavailable = KafkaUnavailable(
            "127.0.0.1:1", "nothing was said yet"
        )
        self.history = SampleWindow()

    def holds(
        self, *groups: GroupReading, seconds: float = 0, incomplete: str | None = None, **topics: TopicEnd
    ) -> None:
        at = (SAMPLED_AT + timedelta(seconds=seconds)).timestamp()
        self.found = GroupsSnapshot(at, "cluster-1", groups, topics, incomplete)

    def take(self, *_: Any, **__: Any) -> GroupsSnapshot:
        if isinstance(self.found, KafkaUnavailable):
            raise self.found
        return self.found

    def sample(self, seconds: float = 0) -> dict[str, GroupSample]:
        """The rows stored by one sample."""
        now = SAMPLED_AT + timedelta(seconds=seconds)
        rows = services.sample_groups(
            settings=NOWHERE, times=RecordTimes(NOWHERE), history=self.history, now=now
        )
        publish.flush()
        stored = {row.group: row for row in GroupSample.objects.newest()}
        assert stored.keys() == {row.group for row in rows} or not rows
        return stored


@pytest.fixture
def cluster(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(group_services, "take_snapshot", made.take)
    return made


def test_a_sample_is_stored_whole(cluster: Cluster) -> None:
    cluster.holds(group(part(7), part(None, partition=1, committed=None, lost=None, reason="no commit")))
    row = cluster.sample()["gds-alerting"]
    assert (row.state, row.status, row.members) == ("Stable", Status.UNKNOWN, 1)
    assert (row.total_lag, row.unknown_partitions, row.lost, row.age_s) == (7, 1, 0, 1.5)
    assert row.partitions is not None
    assert row.partitions[0] == {
        "topic": "gds.metrics.production",
        "topic_id": "topic-1",
        "partition": 0,
        "committed": 100,
        "end": 107,
        "log_start": 0,
        "lag": 7,
        "lost": 0,
        "age_s": 1.5,
        "method": "record",
        "consumed_per_s": None,
        "produced_per_s": None,
        "eta_s": None,
        "status": "ok",
        "reason": "",
    }
    assert row.partitions[1]["lag"] is None
    assert row.partitions[1]["reason"] == "no commit"


def test_the_next_sample_knows_the_ones_before(cluster: Cluster) -> None:
    for number in range(14):
        cluster.holds(group(part(50)), seconds=5 * number)
        row = cluster.sample(5 * number)["gds-alerting"]
    assert row.status == Status.STALLED
    assert (row.consumed_per_s, row.produced_per_s) == (0.0, 0.0)
    # Another process, with no memory, says the same from the rows.
    cluster.history = SampleWindow()
    cluster.holds(group(part(50)), seconds=70)
    assert cluster.sample(70)["gds-alerting"].status == Status.STALLED


def test_pages_are_told(cluster: Cluster) -> None:
    cluster.holds(group(part(7)))
    cluster.sample()
    told = latest("lag.sampled")
    assert told is not None
    del told["gds-alerting"]["published_at"]
    assert told == {
        "gds-alerting": {
            "group": "gds-alerting",
            "state": "Stable",
            "status": "ok",
            "reason": "",
            "members": 1,
            "total_lag": 7,
            "unknown_partitions": 0,
            "lost": 0,
            "age_s": 1.5,
            "consumed_per_s": None,
            "produced_per_s": None,
            "eta_s": None,
            "topics": {"gds.metrics.production": 7},
        }
    }


def test_an_outage_is_unknown_and_never_zero(cluster: Cluster) -> None:
    cluster.holds(group(part(7)), group(part(0), name="another"))
    cluster.sample()
    cluster.found = KafkaUnavailable("10.0.0.1:9092", "no answer in 2 s")
    rows = cluster.sample(5)
    assert rows.keys() == {"gds-alerting", "another"}
    row = rows["another"]
    assert (row.status, row.state, row.members) == (Status.UNKNOWN, "Unknown", None)
    assert (row.total_lag, row.unknown_partitions, row.lost, row.age_s) == (None, None, None, None)
    assert row.reason == "Kafka at 10.0.0.1:9092 is unreachable: no answer in 2 s"
    told = latest("lag.sampled")
    assert told is not None
    assert told["another"]["total_lag"] is None
    assert told["another"]["topics"] is None
    # It lasts, and the groups are not forgotten.
    assert cluster.sample(10).keys() == {"gds-alerting", "another"}


def test_an_outage_before_any_sample_says_nothing(cluster: Cluster) -> None:
    assert cluster.sample() == {}


def test_groups_of_a_silent_coordinator_are_unknown(cluster: Cluster) -> None:
    cluster.holds(group(part(7)), group(part(0), name="another"))
    cluster.sample()
    cluster.holds(group(part(7)), seconds=5, incomplete="broker 2 does not answer")
    rows = cluster.sample(5)
    assert (rows["another"].status, rows["another"].reason) == (Status.UNKNOWN, "broker 2 does not answer")
    assert rows["gds-alerting"].total_lag == 7
    cluster.holds(group(part(7)), seconds=10)
    assert cluster.sample(10).keys() == {"gds-alerting"}


@pytest.fixture
def rule() -> Any:
    return make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10_000)


def state(name: str = "gds-alerting") -> AlertState | None:
    alert = Alert.objects.filter(subject=name).order_by("-pk").first()
    return None if alert is None else AlertState(alert.state)


def test_lag_fires_and_resolves(cluster: Cluster, rule: Any) -> None:
    cluster.holds(group(part(10_001)), group(part(10_000), name="another"))
    cluster.sample()
    assert state() == AlertState.FIRING
    assert state("another") is None
    cluster.holds(group(part(3)), seconds=5)
    cluster.sample(5)
    assert state() == AlertState.RESOLVED


def test_an_outage_neither_fires_nor_resolves(cluster: Cluster, rule: Any) -> None:
    cluster.holds(group(part(10_001)))
    cluster.sample()
    cluster.found = KafkaUnavailable("10.0.0.1:9092", "no answer")
    cluster.sample(5)
    assert state() == AlertState.FIRING
    # Nor does a leader that is away: the rest of the group has 3 messages waiting.
    cluster.holds(group(part(None, end=None, reason="no leader"), part(3, partition=1)), seconds=10)
    cluster.sample(10)
    assert state() == AlertState.FIRING


def test_a_deleted_group_alerts_no_longer(cluster: Cluster, rule: Any) -> None:
    cluster.holds(group(part(10_001)), group(part(0), name="another"))
    cluster.sample()
    # Its coordinator may be moving.
    cluster.holds(group(part(0), name="another"), seconds=5)
    cluster.sample(5)
    assert state() == AlertState.FIRING
    cluster.holds(group(part(0), name="another"), seconds=35)
    cluster.sample(35)
    assert state() == AlertState.RESOLVED
    assert Alert.objects.get().resolved_reason == "the consumer group was deleted"


def test_a_silent_coordinator_resolves_nothing(cluster: Cluster, rule: Any) -> None:
    cluster.holds(group(part(10_001)))
    cluster.sample()
    for seconds in (40, 80):
        cluster.holds(seconds=seconds, incomplete="broker 2 does not answer")
        cluster.sample(seconds)
    assert state() == AlertState.FIRING


def test_rules_can_judge_the_time_behind(cluster: Cluster) -> None:
    make_alert_rule(name="Late", source="lag", metric_name="consumer_lag_seconds", threshold=60)
    cluster.holds(group(part(3, age_s=61.0)), group(part(3), name="another"))
    cluster.sample()
    assert [alert.subject for alert in Alert.objects.firing()] == ["gds-alerting"]


@pytest.mark.parametrize(
    ("parts", "lag"),
    [
        ([part(3), part(4, partition=1)], 7),
        # Without a commit it may stay unknown for good; the others can be judged.
        ([part(3), part(None, committed=None)], 3),
        ([part(3), part(None, end=None)], None),
        ([part(None, committed=None)], None),
        ([], 0),
    ],
)
def test_what_lag_rules_judge(parts: list[PartitionReading], lag: float | None) -> None:
    total = [one.lag for one in parts if one.lag is not None]
    sample = GroupSample(total_lag=sum(total) if total or not parts else None)
    assert measured_lag(group(*parts), sample) == lag


def test_rates_of_topics_are_published(cluster: Cluster) -> None:
    name = "gds.metrics.production"
    ends = [("topic-1", 1_000), ("topic-1", 1_500), ("topic-2", 40), ("topic-2", None), ("topic-2", 60)]
    rates = []
    for number, (topic_id, end_total) in enumerate(ends):
        cluster.holds(seconds=5 * number, **{name: TopicEnd(topic_id, end_total)})
        cluster.sample(5 * number)
        told = latest("topic.rates")
        assert told is not None
        assert told[name]["end_total"] == end_total
        rates.append(told[name]["rate_in"])
    assert rates == [None, 100.0, None, None, None]


@pytest.mark.parametrize(
    ("before", "rate"),
    [
        (None, None),
        ({"topic_id": "topic-1", "end_total": 400, "sampled_at": 95.0}, 20.0),
        ({"topic_id": "topic-1", "end_total": 500, "sampled_at": 95.0}, 0.0),
        ({"topic_id": "topic-1", "end_total": None, "sampled_at": 95.0}, None),
        ({"topic_id": "topic-0", "end_total": 400, "sampled_at": 95.0}, None),
        ({"topic_id": "topic-1", "end_total": 600, "sampled_at": 95.0}, None),
        # An hour's average says nothing of now, nor does the same sample again.
        ({"topic_id": "topic-1", "end_total": 400, "sampled_at": 39.0}, None),
        ({"topic_id": "topic-1", "end_total": 400, "sampled_at": 99.9}, None),
    ],
)
def test_rate_of_a_topic(before: dict[str, Any] | None, rate: float | None) -> None:
    assert topic_rate(before, TopicEnd("topic-1", 500), 100.0) == rate


def test_the_same_tick_twice_is_stored_once(cluster: Cluster) -> None:
    make_group_sample(sampled_at=SAMPLED_AT, total_lag=7)
    cluster.holds(group(part(9)))
    assert cluster.sample()["gds-alerting"].total_lag == 7

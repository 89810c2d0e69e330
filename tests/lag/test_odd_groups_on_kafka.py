"""Groups that are odd in one way each, and what they leave of the others: everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.cluster import group_reader
from gdsconsole.kafka.cluster.groups import read_groups
from gdsconsole.kafka.config import ClientSettings
from lag import services
from lag.models import MAX_GROUP_NAME, GroupSample
from lag.sample_window import SampleWindow
from tests.kafka.raw_groups import Coordinator, coordinator
from tests.lag.kafka_groups import Groups
from topics.models import Alert, AlertRule, Source

pytestmark = pytest.mark.kafka

NAMES = ["", "x" * 300, "..", "two\nlines", "\x1b[2J", "#a?b%25/c"]


@pytest.fixture
def odd(kafka: KafkaCluster, fresh_topic: str) -> Iterator[Callable[[str], Coordinator]]:
    """Makes groups of these names, and takes them away again."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(coordinator(kafka.bootstrap_servers, name.encode()))


def test_a_group_without_a_name_leaves_the_others_known(
    groups: Groups, fresh_topic: str, odd: Callable[[str], Coordinator]
) -> None:
    """The client library refuses to ask for it, and a bulk read that fails for it knew nothing of any."""
    groups.produce(fresh_topic, 5)
    group = groups.name()
    groups.commit(group, fresh_topic, {0: 2})
    odd("").commit(fresh_topic, 0, 1)
    unnamed, usual = groups.snapshot("", group).groups
    assert (usual.error, [part.lag for part in usual.partitions]) == (None, [3])
    assert unnamed.group == ""
    assert unnamed.error is not None
    assert "the client library can't ask for it" in unnamed.error
    assert not unnamed.partitions


@pytest.mark.django_db
@pytest.mark.redis
def test_every_odd_name_is_stored_judged_and_has_a_page(
    groups: Groups,
    fresh_topic: str,
    odd: Callable[[str], Coordinator],
    redis_url: str,
    client_of: Callable[[str], Client],
) -> None:
    groups.produce(fresh_topic, 5)
    group = groups.name()
    groups.commit(group, fresh_topic, {0: 2})
    for name in NAMES:
        odd(name).commit(fresh_topic, 0, 1)
    AlertRule.objects.create(name="behind", source=Source.LAG, metric_name="consumer_lag", threshold=1)
    rows = services.sample_groups(
        settings=groups.settings, times=groups.times, history=SampleWindow(), now=timezone.now()
    )
    lags = {row.group: row.total_lag for row in rows}
    assert (lags[group], lags[".."], lags["two\nlines"], lags["\x1b[2J"], lags[""]) == (3, 4, 4, 4, None)
    assert lags["#a?b%25/c"] == 4
    (long_name,) = [name for name in lags if name.startswith("xxx")]
    assert len(long_name) == MAX_GROUP_NAME
    assert lags[long_name] == 4
    assert set(GroupSample.objects.newest().values_list("group", flat=True)) == lags.keys()
    firing = {alert.labels["group"] for alert in Alert.objects.firing()}
    assert {group, "..", "two\nlines", long_name} <= firing
    assert "" not in firing
    viewer = client_of("viewer")
    page = viewer.get("/lag/")
    assert "(no name)" in page.content.decode()
    for row in page.context["rows"]:
        found = viewer.get(row.href)
        assert (found.status_code, found.context["name"]) == (200, row.sample.group)


def test_a_member_with_an_assignment_that_nobody_understands(
    groups: Groups, fresh_topic: str, odd: Callable[[str], Coordinator]
) -> None:
    """Brokers hand on what a group's leader gives its members, unread."""
    group, cut, not_text = groups.name(), groups.name(), groups.name()
    groups.commit(group, fresh_topic, {0: 0})
    odd(cut).join("consumer", b"\x00\x01\xff\xff\xff\xff")
    odd(not_text).join("consumer", b"\0\0\0\0\0\x01\0\x02\xff\xfe\0\0\0\x01\0\0\0\0\xff\xff\xff\xff")
    odd(connect := groups.name()).join("connect", b"whatever")
    read = read_groups(groups.settings, [cut, group, not_text, connect])
    assert read[group].committed == {(fresh_topic, 0): 0}
    assert read[cut].members is None
    assert "can't be read" in str(read[not_text].error)


def test_a_group_that_ends_the_reader_leaves_the_others_known(
    groups: Groups, fresh_topic: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client library has ended its process for what one group's coordinator answered."""
    names = sorted(groups.name() for _ in range(7))
    for name in names:
        groups.commit(name, fresh_topic, {0: 0})
    deadly = tmp_path / "deadly_reader.py"
    source = Path(group_reader.__file__).read_text()
    ends = f'if "{names[3]}" in request.groups: os._exit(11)\n        '
    deadly.write_text(source.replace("client = client or", ends + "client = client or"))
    monkeypatch.setattr(group_reader, "__file__", str(deadly))
    # A reader of its own: the others' runs on.
    settings = ClientSettings(groups.settings.bootstrap_servers, {"client.id": "deadly"})
    read = read_groups(settings, names, timeout_s=20)
    assert {name for name in names if read[name].committed is None} == {names[3]}

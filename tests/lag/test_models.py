from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from gdsconsole.access import sync_roles
from lag.models import BrokerSample, GroupSample
from tests.factories import SAMPLED_AT, make_broker_sample, make_group_sample

pytestmark = pytest.mark.django_db


def test_the_newest_tick_is_the_groups_that_exist() -> None:
    make_group_sample(group="gone")
    make_group_sample(group="a", total_lag=5)
    later = SAMPLED_AT + timedelta(seconds=5)
    make_group_sample(group="a", total_lag=7, sampled_at=later)
    make_group_sample(group="b", sampled_at=later)
    assert {row.group: row.total_lag for row in GroupSample.objects.newest()} == {"a": 7, "b": 0}


def test_without_a_sample_no_group_is_known() -> None:
    assert not GroupSample.objects.newest().exists()
    assert BrokerSample.objects.newest() is None


def test_a_group_has_one_sample_a_tick() -> None:
    make_group_sample()
    with transaction.atomic(), pytest.raises(IntegrityError):
        make_group_sample()
    make_group_sample(group="another")


def test_a_groups_samples_are_read_oldest_first() -> None:
    times = [SAMPLED_AT + timedelta(seconds=5 * number) for number in (2, 0, 1)]
    for at in times:
        make_group_sample(sampled_at=at)
    make_group_sample(group="another")
    assert [row.sampled_at for row in GroupSample.objects.of_group("gds-alerting")] == sorted(times)
    since = SAMPLED_AT + timedelta(seconds=5)
    assert GroupSample.objects.of_group("gds-alerting", since=since).count() == 2


def test_the_newest_cluster_sample() -> None:
    make_broker_sample()
    make_broker_sample(sampled_at=SAMPLED_AT + timedelta(seconds=5), live=2)
    newest = BrokerSample.objects.newest()
    assert newest is not None
    assert newest.live == 2
    assert str(newest) == "cluster at 2026-01-15T10:30:05Z: 2 of 3 brokers"


def test_every_role_may_look_at_lag_and_brokers() -> None:
    sync_roles()
    for role in Group.objects.all():
        held = set(role.permissions.values_list("codename", flat=True))
        assert {"view_groupsample", "view_brokersample"} <= held, role.name
        assert not {name for name in held if name.endswith("sample") and not name.startswith("view_")}

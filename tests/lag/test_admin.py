from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_broker_sample, make_group_sample

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_samples_can_be_looked_at(root: Client) -> None:
    group, cluster = make_group_sample(), make_broker_sample()
    for path, said in (
        ("/admin/lag/groupsample/", "gds-alerting"),
        (f"/admin/lag/groupsample/{group.pk}/change/", "caught-up"),
        ("/admin/lag/brokersample/", "2026"),
        (f"/admin/lag/brokersample/{cluster.pk}/change/", "produce_p99_ms"),
    ):
        page = root.get(path)
        assert page.status_code == 200, path
        assert said in page.content.decode(), path


@pytest.mark.parametrize("model", ["groupsample", "brokersample"])
def test_nobody_changes_a_measurement(root: Client, model: str) -> None:
    row = make_group_sample() if model == "groupsample" else make_broker_sample()
    base = f"/admin/lag/{model}"
    assert root.get(f"{base}/add/").status_code == 403
    for action in ("change", "delete"):
        assert root.post(f"{base}/{row.pk}/{action}/", {"post": "yes"}).status_code == 403
    row.refresh_from_db()

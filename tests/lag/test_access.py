"""Who may look at the pages of consumer groups and brokers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from gdsconsole.access import ROLES
from lag.urls import urlpatterns
from tests.lag.conftest import GroupNow

pytestmark = pytest.mark.django_db

PATHS = ("/lag/", "/lag/gds-alerting/", "/brokers/", "/brokers/partitions/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["anonymous", "nobody", *ROLES])
def test_who_may_look(path: str, role: str, client_of: Callable[[str], Client], group_now: GroupNow) -> None:
    group_now("gds-alerting")
    client = client_of(role)
    response = client.get(path)
    if role == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    elif role == "nobody":
        assert response.status_code == 403
    else:
        assert response.status_code == 200
        assert client.post(path).status_code == 405


def test_every_address_of_the_app_is_in_the_table() -> None:
    for pattern in urlpatterns:
        arguments = ["gds-alerting"] if pattern.name == "group" else []
        assert reverse(f"lag:{pattern.name}", args=arguments) in PATHS

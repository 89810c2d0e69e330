from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gdsconsole.kafka.clients import ClientSettings
from tests.contracts.worlds import PARTITIONS, FakeWorld, RealWorld, World


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each test of a contract runs over both."""
    if request.param == "fake":
        yield FakeWorld()
        return
    kafka = request.getfixturevalue("kafka")
    topic_factory: Callable[..., str] = request.getfixturevalue("topic_factory")
    real = RealWorld(
        ClientSettings(kafka.bootstrap_servers),
        request.getfixturevalue("kafka_admin"),
        topic_factory(partitions=PARTITIONS),
    )
    yield real
    real.close()

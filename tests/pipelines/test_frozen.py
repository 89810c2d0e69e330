"""A consumer that is frozen in the middle of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.db import OperationalError, connection, connections, transaction

from gdsconsole.database import timeouts
from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import leases, progress, storage
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite's locks have no limit in time"),
]

PART = TopicIdPartition("gds.metrics.production", 3, "topic-1", "cluster-1")


@pytest.fixture
def soon() -> Iterator[None]:
    usual_ms = timeouts.PIPELINES.idle_in_transaction
    assert usual_ms is not None
    assert leases.TTL.total_seconds() * 1_000 > usual_ms
    timeouts.bound_waits(replace(timeouts.PIPELINES, idle_in_transaction=300))
    yield
    timeouts.unbound_waits()


def advance_from_elsewhere() -> int:
    """What another process does meanwhile: its rows moved, on a connection of its own."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SET lock_timeout = 100")
            cursor.execute("UPDATE pipelines_partitionprogress SET next_offset = 20 WHERE next_offset = 0")
            return int(cursor.rowcount)
    except OperationalError:
        return 0
    finally:
        other.close()


def frozen_while_storing() -> None:
    with storage.storage(), transaction.atomic():
        progress.advance(group="gds-alerting", moves={PART: (0, 10)})
        assert advance_from_elsewhere() == 0
        wait_until(lambda: advance_from_elsewhere() == 1, 10, "the rows are free")
        progress.advance(group="gds-alerting", moves={PART: (10, 30)})


@pytest.mark.usefixtures("soon")
def test_its_rows_are_free_for_another_and_what_it_had_not_committed_is_not_stored():
    progress.load(group="gds-alerting", partitions=[PART])
    with pytest.raises(TransientError):
        frozen_while_storing()
    assert progress.load(group="gds-alerting", partitions=[PART]) == {PART: 20}
    assert connection.is_usable()

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from dlq import services
from dlq.indexing import index
from dlq.intake import Arrival, DlqPlace, identity_of, row_of
from dlq.models import EVERY_GROUP, DeadLetter, DeadLetterEvent, ReplayItem
from dlq.outcomes import ReplayProduced, record_written
from dlq.step import IndexStep
from gdsconsole.kafka.dead_letters import envelope
from gdsconsole.kafka.dead_letters.envelope import DecodedDeadLetter
from gdsconsole.kafka.errors import FencedError
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.kafka.step import Batch
from tests.factories import make_dead_letter, make_record

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TOPIC_ID = "hJ7x0yXjQW2mT1b3bqfRDA"


def decoded(**changes: Any) -> DecodedDeadLetter:
    fields: dict[str, Any] = {
        "form": "headers",
        "key": b"k",
        "value": b"not json",
        "headers": [("trace", b"\xff"), ("trace", None)],
        "topic": "gds.metrics.production",
        "topic_id": TOPIC_ID,
        "partition": 3,
        "offset": 7,
        "timestamp": NOW,
        "group": "gds-alerting",
        "error": "JSON is malformed",
        "error_type": "InvalidMessage",
        "attempt": 1,
        "first_failed_at": NOW,
        "last_failed_at": NOW,
    }
    return DecodedDeadLetter(**fields | changes)


def arrival(*, at: int = 0, retention_ms: int | None = 604_800_000, **changes: Any) -> Arrival:
    place = DlqPlace("gds.metrics.dlq", "dlq-id", 1, at, retention_ms)
    return Arrival(letter=decoded(**changes), cluster_id="c", place=place, arrived_at=NOW)


def take(*arrivals: Arrival) -> int:
    with transaction.atomic():
        return index(arrivals, now=NOW)


def replayed(letter: DeadLetter, *, offset: int = 900) -> ReplayItem:
    """The letter's replay, written to its topic."""
    item = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run.items.get()
    record_written([ReplayProduced(item.replay_id, letter.partition or 0, offset)], now=NOW)
    return ReplayItem.objects.get(pk=item.pk)


@pytest.mark.django_db
def test_a_dead_letter_becomes_a_row_byte_for_byte() -> None:
    assert take(arrival(key=b"\xff\x00", value=None)) == 1
    row = DeadLetter.objects.get()
    assert (bytes(row.key or b""), row.value, row.value_size) == (b"\xff\x00", None, None)
    assert row.header_pairs() == [("trace", b"\xff"), ("trace", None)]
    assert (row.topic, row.topic_id, row.partition, row.offset) == (
        "gds.metrics.production", TOPIC_ID, 3, 7,
    )  # fmt: skip
    assert (row.group, row.error_type, row.attempts, row.state) == (
        "gds-alerting", "InvalidMessage", 1, "pending",
    )  # fmt: skip
    assert (row.dlq_topic, row.dlq_partition, row.dlq_offset) == ("gds.metrics.dlq", 1, 0)
    assert row.expires_at == NOW + timedelta(days=7)
    event = DeadLetterEvent.objects.get()
    assert (event.action, event.error) == ("indexed", "JSON is malformed")


@pytest.mark.django_db
def test_a_time_that_is_no_date_is_kept_as_the_number_it_is(client_of: Callable[[str], Client]) -> None:
    take(arrival(timestamp=None, timestamp_ms=1_768_473_000_123_456))
    letter = DeadLetter.objects.get()
    assert (letter.timestamp, letter.written_ms) == (None, 1_768_473_000_123_456)
    page = client_of("reviewer").get(f"/dlq/{letter.pk}/").content.decode()
    assert "1768473000123456" in page
    assert "no date: microseconds?" in page


@pytest.mark.django_db
def test_one_published_twice_is_one_row() -> None:
    assert take(arrival(at=0), arrival(at=1)) == 1
    assert take(arrival(at=2)) == 0
    assert DeadLetter.objects.count() == 1
    assert DeadLetterEvent.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "other",
    [
        {"topic": "gds.logs.production"},
        {"topic_id": "made-anew"},
        {"partition": 4},
        {"offset": 8},
        {"group": "gds-x"},
    ],
)
def test_another_place_or_group_is_another_row(other: dict[str, Any]) -> None:
    assert take(arrival(at=0), arrival(at=1, **other)) == 2


@pytest.mark.django_db
def test_an_unreadable_envelope_is_kept_raw_by_its_dlq_offset() -> None:
    raw = {"form": "raw", "topic": None, "partition": None, "offset": None, "group": None, "error": None,
           "error_type": None, "problem": "neither gds.dlq headers nor a JSON envelope"}  # fmt: skip
    assert take(arrival(at=5, **raw), arrival(at=5, **raw), arrival(at=6, **raw)) == 2
    row = DeadLetter.objects.order_by("dlq_offset")[0]
    assert (row.topic, row.dlq_offset, row.envelope) == (None, 5, "unreadable")
    assert row.error_type == "UnreadableEnvelope"
    assert "neither gds.dlq headers nor a JSON envelope" in row.error
    assert row.coordinates == "gds.metrics.dlq[1]@5"


@pytest.mark.django_db
def test_a_parked_letter_is_the_same_row_as_its_dead_letter_would_be() -> None:
    parked = Arrival(
        letter=decoded(), cluster_id="c", place=None, arrived_at=NOW, refusal="MSG_SIZE_TOO_LARGE"
    )
    assert take(parked) == 1
    assert take(parked) == 0
    row = DeadLetter.objects.get()
    assert (row.envelope, row.dlq_topic, row.expires_at) == ("parked", None, None)
    assert "MSG_SIZE_TOO_LARGE" in row.error
    # The cause is the message's, not the parking's.
    assert row.cause == row_of(arrival()).cause


@pytest.mark.django_db
def test_a_message_that_fails_again_after_its_replay_stays_one_row() -> None:
    take(arrival())
    letter = DeadLetter.objects.get()
    item = replayed(letter)
    back = arrival(at=9, offset=900, replay_id=str(item.replay_id), replay_count=1, attempt=2,
                   last_failed_at=NOW + timedelta(minutes=1))  # fmt: skip

    assert take(back) == 0

    letter.refresh_from_db()
    item.refresh_from_db()
    assert DeadLetter.objects.count() == 1
    assert (letter.state, letter.replay_count, letter.offset) == ("failed", 1, 7)
    assert (letter.attempts, letter.last_failed_at) == (2, NOW + timedelta(minutes=1))
    assert (letter.dlq_partition, letter.dlq_offset) == (1, 9)
    assert (item.failed_again_at, item.same_cause) == (NOW, True)
    failed_again = DeadLetterEvent.objects.get(action="failed_again")
    assert (failed_again.from_state, failed_again.to_state, failed_again.actor) == (
        "replayed",
        "failed",
        "gds-alerting",
    )
    # Published twice, it came back once.
    assert take(back) == 0
    assert DeadLetterEvent.objects.filter(action="failed_again").count() == 1


@pytest.mark.django_db
def test_it_may_come_back_before_the_replayer_has_said_that_it_was_sent() -> None:
    take(arrival())
    letter = DeadLetter.objects.get()
    item = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run.items.get()

    take(arrival(at=9, offset=900, replay_id=str(item.replay_id), error="tags: expected an object"))

    letter.refresh_from_db()
    item.refresh_from_db()
    assert (letter.state, letter.replay_count, letter.error) == ("failed", 1, "tags: expected an object")
    assert (item.state, item.target, item.same_cause) == (
        "replayed", "gds.metrics.production[3]@900", False,
    )  # fmt: skip
    # The replayer says so at last: it is settled, so nothing moves.
    assert record_written([ReplayProduced(item.replay_id, 3, 900)], now=NOW) == 0
    letter.refresh_from_db()
    assert letter.state == "failed"


@pytest.mark.django_db
def test_an_old_replay_that_comes_back_late_does_not_end_a_newer_one() -> None:
    take(arrival())
    letter = DeadLetter.objects.get()
    first = replayed(letter)
    take(arrival(at=9, offset=900, replay_id=str(first.replay_id)))
    second = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run.items.get()
    assert second.number == 2

    take(arrival(at=10, offset=900, replay_id=str(first.replay_id)))
    letter.refresh_from_db()
    assert letter.state == "replaying"


@pytest.mark.django_db
def test_what_no_group_can_read_is_one_letter_and_what_one_group_fails_at_is_its_own() -> None:
    groups = ("gds-alerting", "gds-warehouse", "gds-analytics")
    assert take(*(arrival(at=n, group=group, stage="decode") for n, group in enumerate(groups))) == 1
    letter = DeadLetter.objects.get()
    assert (letter.group, letter.only_group, letter.group_label) == (EVERY_GROUP, None, "every group")
    assert take(*(arrival(at=9 + n, offset=8, group=group) for n, group in enumerate(groups))) == 3
    assert set(DeadLetter.objects.filter(offset=8).values_list("group", flat=True)) == set(groups)


@pytest.mark.django_db
def test_a_replay_that_no_group_can_read_comes_back_once() -> None:
    take(arrival(stage="decode"))
    item = replayed(DeadLetter.objects.get())
    for at, group in enumerate(("gds-alerting", "gds-warehouse"), 10):
        assert (
            take(arrival(at=at, offset=900, group=group, stage="decode", replay_id=str(item.replay_id))) == 0
        )
    letter = DeadLetter.objects.get()
    assert letter.state == "failed"
    assert letter.events.filter(action="failed_again").count() == 1


@pytest.mark.django_db
def test_a_group_that_fails_at_what_can_be_read_now_has_a_letter_of_its_own() -> None:
    take(arrival(stage="decode"))
    item = replayed(DeadLetter.objects.get())
    assert take(arrival(at=10, offset=900, group="gds-warehouse", replay_id=str(item.replay_id))) == 1
    states = dict(DeadLetter.objects.values_list("group", "state"))
    assert states == {EVERY_GROUP: "replayed", "gds-warehouse": "pending"}


@pytest.mark.django_db
@pytest.mark.parametrize("replay_id", ["not a uuid", str(uuid.UUID(int=1)), "\0", "x" * 5000])
def test_a_replay_id_that_is_nobodys_is_ignored(replay_id: str) -> None:
    assert take(arrival(replay_id=replay_id)) == 1


@pytest.mark.django_db
def test_progress_and_rows_belong_in_one_transaction(transactional_db: None) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        index([arrival()], now=NOW)


def test_a_factory_row_has_an_identity_too() -> None:
    assert identity_of(make_dead_letter(save=False)) != identity_of(make_dead_letter(save=False))


hostile_text = st.none() | st.text(alphabet=st.characters(codec=None), max_size=400) | st.just("\0" * 300)
counts = st.none() | st.integers(min_value=0, max_value=2**63 - 1)
moments = st.none() | st.datetimes(timezones=st.just(UTC))


class AnythingIsStored(TestCase):
    """Anyone may write to a dead letter topic, and its index has nowhere to put what it can't store."""

    @given(
        letter=st.builds(
            DecodedDeadLetter,
            form=st.sampled_from(["headers", "envelope", "raw"]),
            key=st.none() | st.binary(max_size=50),
            value=st.none() | st.binary(max_size=50),
            headers=st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=10)), max_size=3),
            topic=hostile_text | st.just("gds.metrics.production"),
            topic_id=hostile_text,
            partition=counts,
            offset=counts,
            timestamp=moments,
            group=hostile_text,
            error=hostile_text,
            error_type=hostile_text,
            attempt=counts,
            first_failed_at=moments,
            last_failed_at=moments,
            replay_id=hostile_text,
            problem=hostile_text,
        ),
        retention_ms=st.none() | st.integers(min_value=-1, max_value=2**63 - 1),
    )
    def test_a_row_comes_of_it(self, letter: DecodedDeadLetter, retention_ms: int | None) -> None:
        place = DlqPlace("gds.metrics.dlq", "dlq-id", 1, 1, retention_ms)
        take(Arrival(letter=letter, cluster_id="c", place=place, arrived_at=NOW))
        row = DeadLetter.objects.get()
        assert row.value == letter.value
        assert "\0" not in row.error + row.error_type + row.group + row.topic_id + (row.topic or "")


@pytest.mark.django_db
def test_the_step_counts_what_it_wrote_and_a_batch_that_comes_twice_counts_once() -> None:
    step = IndexStep(group="gds-dlq-index")
    place = TopicIdPartition("gds.metrics.dlq", 0, "topic-id", "cluster")
    step.assigned([place])
    records = [make_record(topic=place.topic, offset=offset, value=b"not an envelope") for offset in (0, 1)]
    batch = Batch(records, [envelope.decode(record) for record in records], {place: (0, 2)})
    assert step.handle(batch)
    with pytest.raises(FencedError):
        step.handle(batch)
    assert (step.written, DeadLetter.objects.count()) == (2, 2)

"""Halted partitions in the database: kept, shown, decided of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gdsconsole.audit.models import AuditEntry
from gdsconsole.kafka.consuming.halts import Decision as Decided
from gdsconsole.kafka.consuming.halts import PartitionHalt as Halt
from gdsconsole.kafka.partitions import TopicIdPartition
from gdsconsole.pipelines import services
from gdsconsole.pipelines.halts import services as halts
from gdsconsole.pipelines.halts import skipping
from gdsconsole.pipelines.halts.services import Decision, HaltsMoved
from gdsconsole.pipelines.halts.skipping import HaltedPartition, Skip, SkipTarget, WrongSkip
from gdsconsole.pipelines.halts.store import StoredHalts
from gdsconsole.pipelines.models import PartitionHalt, Pipeline
from tests.factories import by

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
GROUP, TOPIC = "gds-alerting", "gds.metrics.production"
WHY = "500 dead letters in a row; the last one: value: expected a number"


def part(number: int, topic_id: str = "topic-1") -> TopicIdPartition:
    return TopicIdPartition(TOPIC, number, topic_id, "cluster-1")


def halt(number: int = 3, offset: int = 510) -> PartitionHalt:
    StoredHalts(GROUP).save(Halt(part(number), offset, WHY, NOW.timestamp()))
    return PartitionHalt.objects.get(group=GROUP, partition=number)


@pytest.fixture(autouse=True)
def pipeline() -> Pipeline:
    services.ensure(groups={"alerting": GROUP})
    return Pipeline.objects.get()


def test_the_next_owner_finds_what_the_last_one_kept():
    store = StoredHalts(GROUP)
    kept = Halt(part(3), 510, WHY, NOW.timestamp())
    store.save(kept)
    assert store.load([part(2), part(3)]) == {part(3): kept}
    assert StoredHalts("gds-warehouse").load([part(3)]) == {}
    again = Halt(part(3), 700, WHY, NOW.timestamp())
    store.save(again)
    assert store.load([part(3)]) == {part(3): again}
    store.clear(part(3))
    assert store.load([part(3)]) == {}


def test_a_topic_that_is_made_again_has_no_halts_of_the_last_one():
    halt(3)
    halt(4)
    assert StoredHalts(GROUP).load([part(3, "topic-2")]) == {}
    assert [row.partition for row in PartitionHalt.objects.all()] == [4]


def test_a_halted_partition_is_listed_and_its_pipeline_is_halted():
    halt(3)
    (row,) = services.listing(now=NOW)
    assert (row["state"], row["since"], row["is_wanted"]) == ("halted", NOW, True)
    assert row["reason"] == f"partition 3 of {TOPIC} at offset 510: {WHY}"
    assert row["halted"][0]["partition"] == 3
    halt(11, 12)
    (row,) = services.listing(now=NOW)
    assert row["reason"] == f"partitions 3, 11 of {TOPIC}; 3 at offset 510: {WHY}"
    services.pause(name="alerting", **by())
    assert services.listing(now=NOW)[0]["state"] == "paused"


def test_resume_lets_every_halted_partition_go_on_and_says_so_once():
    halt(3)
    halt(4)
    services.resume(name="alerting", **by())
    services.resume(name="alerting", **by())
    assert StoredHalts(GROUP).load([part(3)])[part(3)].decision is Decided.RESUME
    assert services.listing(now=NOW)[0]["state"] != "halted"
    (entry,) = AuditEntry.objects.filter(action="pipeline.resume")
    assert (
        entry.sentence == f"resumed pipeline alerting, which had halted: {TOPIC}-3 at 510, {TOPIC}-4 at 510"
    )


def test_what_is_skipped_is_in_the_audit_whole(pipeline):
    rows = [halt(3), halt(4, 12_000)]
    skips = {rows[0].pk: 610, rows[1].pk: 12_001}
    expected = {row.pk: row.offset for row in rows}
    for _ in range(2):
        why = {"reason": "bad deploy", **by()}
        halts.decide(pipeline=pipeline, decision=Decision.SKIP, expected=expected, skips=skips, **why)
    found = StoredHalts(GROUP).load([part(3), part(4)])
    assert [(one.decision, one.skip_to) for one in found.values()] == [
        (Decided.SKIP, 610),
        (Decided.SKIP, 12_001),
    ]
    entries = AuditEntry.objects.filter(action="pipeline.skip").order_by("number")
    assert [(entry.sentence, entry.reason) for entry in entries] == [
        (f"let pipeline alerting skip 100 records of {TOPIC}-3: from offset 510 to 609", "bad deploy"),
        (f"let pipeline alerting skip 1 record of {TOPIC}-4: from offset 12000 to 12000", "bad deploy"),
    ]


def test_nobody_decides_of_what_moved_or_what_another_decided(pipeline):
    row = halt(3)
    decide = {"pipeline": pipeline, "expected": {row.pk: 510}, **by()}
    StoredHalts(GROUP).save(Halt(part(3), 700, WHY, NOW.timestamp()))
    with pytest.raises(HaltsMoved, match="stands at offset 700, not 510"):
        halts.decide(decision=Decision.DEAD_LETTER, **decide)
    StoredHalts(GROUP).save(Halt(part(3), 510, WHY, NOW.timestamp()))
    halts.decide(decision=Decision.SKIP, skips={row.pk: 600}, **decide)
    with pytest.raises(HaltsMoved, match="decided already: skip"):
        halts.decide(decision=Decision.DEAD_LETTER, **decide)
    StoredHalts(GROUP).clear(part(3))
    with pytest.raises(HaltsMoved, match="is halted no more"):
        halts.decide(decision=Decision.RESUME, **decide)
    assert AuditEntry.objects.filter(action__startswith="pipeline.").count() == 1


def test_what_dead_letters_until_it_is_good_may_be_resumed(pipeline):
    row = halt(3)
    halts.decide(pipeline=pipeline, decision=Decision.DEAD_LETTER, expected={row.pk: 510}, **by())
    assert services.listing(now=NOW)[0]["state"] != "halted"
    services.resume(name="alerting", **by())
    assert PartitionHalt.objects.get().decision == "resume"


# Where a skip leads.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("offset:12", SkipTarget(offset=12)),
        ("latest", SkipTarget()),
        ("time:2026-01-15T10:30:00Z", SkipTarget(at=NOW)),
    ],
)
def test_a_target(text, expected):
    assert skipping.target(text) == expected


@pytest.mark.parametrize(
    "text", ["", "offset:", "offset:-1", "offset:1e3", "offset:" + "9" * 20, "time:", "time:soon", "earliest"]
)
def test_what_is_no_target_is_named(text):
    with pytest.raises(WrongSkip, match=r"^to: "):
        skipping.target(text)


def stand(number: int, at: int, log_start: int | None, end: int | None) -> HaltedPartition:
    row = PartitionHalt(topic=TOPIC, partition=number, offset=at, group=GROUP)
    return HaltedPartition(row, log_start, end)


def told(skips: list[Skip]) -> list[tuple[int, int, int, int]]:
    return [(one.halt.partition, one.to, one.skipped, one.gone) for one in skips]


def test_a_skip_to_the_end_to_an_offset_and_to_a_time():
    held = [stand(3, 100, 0, 150), stand(4, 20, 25, 40)]
    assert told(skipping.plan(SkipTarget(), held, {})) == [(3, 150, 50, 0), (4, 40, 15, 5)]
    assert [one.waiting for one in held] == [50, 15]
    assert told(skipping.plan(SkipTarget(offset=110), held[:1], {})) == [(3, 110, 10, 0)]
    times = {(TOPIC, 3): 120, (TOPIC, 4): None}
    assert told(skipping.plan(SkipTarget(at=NOW), held, times)) == [(3, 120, 20, 0), (4, 40, 15, 5)]
    # One that stands behind that time already is left as it is.
    assert told(skipping.plan(SkipTarget(at=NOW), held, times | {(TOPIC, 3): 90})) == [(4, 40, 15, 5)]


@pytest.mark.parametrize(
    ("target", "held", "why"),
    [
        (SkipTarget(offset=99), stand(3, 100, 0, 150), "offset 99 is not between 100"),
        (SkipTarget(offset=151), stand(3, 100, 0, 150), "and 150, its end"),
        (SkipTarget(), stand(3, 100, None, None), "gave no answer"),
        (SkipTarget(), stand(3, 150, 0, 150), "nothing would be skipped"),
        (SkipTarget(at=NOW), stand(3, 100, 0, 150), "gave no answer"),
    ],
)
def test_a_skip_that_leads_nowhere_says_why(target, held, why):
    with pytest.raises(WrongSkip, match=why):
        skipping.plan(target, [held], {})

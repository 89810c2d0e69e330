from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError

from dlq import services
from dlq.decisions import REPLAY_LIMIT
from dlq.models import DeadLetter, DeadLetterEvent, ReplayItem, ReplayRun
from dlq.outcomes import ReplayProduced, ReplayRejected, record_unwritten, record_written
from tests.factories import make_dead_letter

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def history(letter: DeadLetter) -> list[tuple[str, str | None, str, str]]:
    events = DeadLetterEvent.objects.filter(dead_letter=letter).order_by("pk")
    return [(event.action, event.from_state, event.to_state, event.actor) for event in events]


def state(letter: DeadLetter) -> str:
    return DeadLetter.objects.values_list("state", flat=True).get(pk=letter.pk)


def settle(run: ReplayRun) -> None:
    items = ReplayItem.objects.filter(run=run)
    record_written([ReplayProduced(item.replay_id, 0, 100 + item.pk) for item in items], now=NOW)


def test_a_replay_claims_its_letters_and_nothing_else() -> None:
    chosen, other = make_dead_letter(), make_dead_letter()
    started = services.start_replay(ids=[chosen.pk], actor="reviewer", now=NOW, reason="fixed upstream")

    assert state(chosen) == "replaying"
    assert state(other) == "pending"
    assert (started.run.total, started.run.state, started.run.actor) == (1, "queued", "reviewer")
    item = started.run.items.get()
    assert (item.dead_letter_id, item.state, item.number) == (chosen.pk, "queued", 1)
    assert item.target_topic == "gds.metrics.production"
    assert history(chosen) == [("requested", "pending", "replaying", "reviewer")]


def test_a_second_click_changes_nothing_and_says_so() -> None:
    letter = make_dead_letter()
    services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW)

    with pytest.raises(services.NothingDone, match=r"already being replayed: asked for by reviewer at 2026"):
        services.start_replay(ids=[letter.pk], actor="admin", now=NOW)

    assert ReplayRun.objects.count() == 1
    assert ReplayItem.objects.count() == 1
    assert len(history(letter)) == 1


def test_the_database_itself_refuses_a_second_active_replay() -> None:
    letter = make_dead_letter()
    run = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run
    second = ReplayRun.objects.create(actor="x", total=1, created_at=NOW)
    with pytest.raises(IntegrityError):
        ReplayItem.objects.create(run=second, dead_letter=letter, number=1, target_topic="t")
    assert run.pk != second.pk


def test_a_selection_leaves_out_what_may_not_be_sent_and_names_it() -> None:
    fine, failed = make_dead_letter(), make_dead_letter(state="failed")
    gone = make_dead_letter(state="discarded")
    unreadable = make_dead_letter(topic=None, partition=None, offset=None)
    worn = make_dead_letter(replay_count=REPLAY_LIMIT)
    ids = [fine.pk, failed.pk, gone.pk, unreadable.pk, worn.pk, 10**6]

    plan = services.plan_replay(ids=ids)
    started = services.start_replay(ids=ids, actor="reviewer", now=NOW)

    assert plan.ids == (fine.pk, failed.pk)
    assert plan.topics == (("gds.metrics.production", 2),)
    assert started.run.total == 2
    reasons = {refusal.dead_letter_id: refusal.reason for refusal in started.refusals}
    assert reasons.keys() == {gone.pk, unreadable.pk, worn.pk, 10**6}
    assert "discarded" in reasons[gone.pk]
    assert "original topic is unknown" in reasons[unreadable.pk]
    assert "replayed 3 times" in reasons[worn.pk]
    assert reasons[10**6] == "does not exist"


def test_past_the_limit_a_replay_needs_the_override_and_a_reason() -> None:
    letter = make_dead_letter(state="failed", replay_count=REPLAY_LIMIT)
    with pytest.raises(services.NothingDone, match="keeps coming back"):
        services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW, reason="again")
    with pytest.raises(ValueError, match="needs a reason"):
        services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW, reason=" ", over_limit=True)

    run = services.start_replay(
        ids=[letter.pk], actor="reviewer", now=NOW, reason="schema v2 is deployed", over_limit=True
    ).run
    assert run.over_limit
    assert run.items.get().number == REPLAY_LIMIT + 1


def test_no_selection_and_too_large_a_selection_are_refused() -> None:
    with pytest.raises(services.NothingDone, match="no dead letter was chosen"):
        services.start_replay(ids=[], actor="reviewer", now=NOW)
    with pytest.raises(services.NothingDone, match="more than one request takes"):
        services.start_replay(ids=range(1, services.MAX_SELECTION + 2), actor="reviewer", now=NOW)


def test_discarding_needs_a_reason_and_an_open_letter() -> None:
    letter = make_dead_letter()
    with pytest.raises(ValueError, match="needs a reason"):
        services.discard(ids=[letter.pk], actor="reviewer", reason="  ", now=NOW)
    assert state(letter) == "pending"

    services.discard(ids=[letter.pk], actor="reviewer", reason="test traffic", now=NOW)
    assert state(letter) == "discarded"
    assert history(letter) == [("discarded", "pending", "discarded", "reviewer")]
    assert DeadLetterEvent.objects.get().reason == "test traffic"

    with pytest.raises(services.NothingDone, match="has been discarded by reviewer"):
        services.discard(ids=[letter.pk], actor="admin", reason="again", now=NOW)
    with pytest.raises(services.NothingDone, match="has been discarded by reviewer"):
        services.start_replay(ids=[letter.pk], actor="admin", now=NOW)


def test_a_letter_under_replay_can_not_be_discarded() -> None:
    letter = make_dead_letter()
    services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW)
    with pytest.raises(services.NothingDone, match="already being replayed"):
        services.discard(ids=[letter.pk], actor="reviewer", reason="no", now=NOW)


def test_settling_moves_letter_item_and_run_together() -> None:
    letters = [make_dead_letter() for _ in range(3)]
    run = services.start_replay(ids=[letter.pk for letter in letters], actor="reviewer", now=NOW).run
    first, second, third = run.items.order_by("pk")

    assert record_written([ReplayProduced(first.replay_id, 2, 812)], now=NOW) == 1
    run.refresh_from_db()
    assert (run.replayed, run.failed, run.state, run.finished_at) == (1, 0, "queued", None)
    first.refresh_from_db()
    assert (first.state, first.target) == ("replayed", "gds.metrics.production[2]@812")
    letter = DeadLetter.objects.get(pk=letters[0].pk)
    assert (letter.state, letter.replay_count) == ("replayed", 1)
    assert history(letter)[-1] == ("replayed", "replaying", "replayed", "reviewer")

    record_written([ReplayProduced(second.replay_id, 2, 813)], now=NOW)
    record_unwritten([ReplayRejected(third.replay_id, "too large")], now=NOW)
    run.refresh_from_db()
    assert (run.replayed, run.failed, run.state, run.finished_at) == (2, 1, "finished", NOW)
    # Nothing was written, so it is no replay that the limit counts.
    failed = DeadLetter.objects.get(pk=letters[2].pk)
    assert (failed.state, failed.replay_count) == ("failed", 0)


def test_settling_twice_changes_nothing() -> None:
    letter = make_dead_letter()
    run = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run
    settle(run)
    before = history(letter)
    settle(run)
    record_unwritten([ReplayRejected(run.items.get().replay_id, "late and wrong")], now=NOW)
    assert history(letter) == before
    assert state(letter) == "replayed"


def test_kafka_knows_better_than_a_stale_judgement() -> None:
    letter = make_dead_letter()
    run = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run
    item = run.items.get()
    record_unwritten([ReplayRejected(item.replay_id, "topic is missing")], now=NOW)
    settle(run)
    assert state(letter) == "replayed"
    run.refresh_from_db()
    assert (run.replayed, run.failed) == (1, 0)


def test_a_late_answer_does_not_move_a_letter_that_was_decided_about() -> None:
    letter = make_dead_letter()
    run = services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run
    item = run.items.get()
    record_unwritten([ReplayRejected(item.replay_id, "topic is missing")], now=NOW)
    services.discard(ids=[letter.pk], actor="reviewer", reason="not needed", now=NOW)
    settle(run)
    assert state(letter) == "discarded"
    item.refresh_from_db()
    assert item.state == "replayed"


def test_a_replayed_letter_is_not_sent_again_unless_it_comes_back() -> None:
    letter = make_dead_letter()
    settle(services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW).run)
    with pytest.raises(
        services.NothingDone, match=r"replayed to gds.metrics.production\[0\]@\d+ by reviewer"
    ):
        services.start_replay(ids=[letter.pk], actor="reviewer", now=NOW)

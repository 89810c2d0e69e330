from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dlq import decision_views, services
from dlq.models import DeadLetter, ReplayItem, ReplayRun, pack_headers
from dlq.outcomes import ReplayProduced, ReplayRejected, record_unwritten, record_written
from gdsconsole.access import ROLES
from tests.factories import make_dead_letter
from topics.models import TopicDefinition

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def enqueued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a worker was asked to replay; the tests have none."""
    calls: list[int] = []
    monkeypatch.setattr(decision_views, "enqueue_replay", lambda: calls.append(1))
    return calls


@pytest.fixture
def reviewer(client_of: Callable[[str], Client]) -> Client:
    return client_of("reviewer")


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def said(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# Who may do what: every address of this app, every method, every role.
READING = ("/dlq/", "/dlq/causes/", "/dlq/{letter}/", "/dlq/{letter}/value/", "/dlq/runs/{run}/")
REPLAYING = (("get", "/dlq/replay/"), ("post", "/dlq/replay/"), ("post", "/dlq/{letter}/replay/"))
DISCARDING = (("get", "/dlq/discard/"), ("post", "/dlq/discard/"), ("post", "/dlq/{letter}/discard/"))
TABLE = [
    *[("get", path, set(ROLES)) for path in READING],
    *[("post", path, set()) for path in READING],
    *[(method, path, {"reviewer", "admin"}) for method, path in (*REPLAYING, *DISCARDING)],
    ("get", "/dlq/{letter}/replay/", set()),
    ("get", "/dlq/{letter}/discard/", set()),
]


@pytest.mark.parametrize("role", ["anonymous", *ROLES])
@pytest.mark.parametrize(("method", "path", "allowed"), TABLE)
def test_who_may_do_what(
    method: str,
    path: str,
    allowed: set[str],
    role: str,
    client_of: Callable[[str], Client],
    enqueued: list[int],
) -> None:
    letter = make_dead_letter()
    other = make_dead_letter()
    run = services.start_replay(ids=[other.pk], actor="reviewer", now=NOW).run
    url = path.format(letter=letter.pk, run=run.pk)
    data = {"reason": "why", "ids": str(letter.pk)} if method == "post" else {}

    response = getattr(client_of(role), method)(url, data)

    state = DeadLetter.objects.get(pk=letter.pk).state
    if role == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
        assert state == "pending"
    elif role in allowed:
        assert response.status_code in {200, 302}
    else:
        assert response.status_code in {403, 405}
        assert state == "pending"


def test_every_address_of_the_app_has_a_row_in_the_table() -> None:
    from dlq.urls import urlpatterns

    known = {path.format(letter=1, run=1) for _, path, _ in TABLE}
    for pattern in urlpatterns:
        needs_pk = "<int:pk>" in str(pattern.pattern)
        assert reverse(f"dlq:{pattern.name}", kwargs={"pk": 1} if needs_pk else {}) in known


def test_a_viewer_sees_no_button_that_would_be_refused(client_of: Callable[[str], Client]) -> None:
    letter = make_dead_letter()
    viewer = client_of("viewer")
    for path in ("/dlq/", f"/dlq/{letter.pk}/"):
        page = text_of(viewer.get(path))
        assert "Replay" not in page.replace("Replays", "")
        assert "Discard…" not in page


class TestList:
    def test_the_first_glance_is_a_sentence_and_the_causes(self, reviewer: Client) -> None:
        for _ in range(3):
            make_dead_letter()
        make_dead_letter(error="tags: expected an object")
        make_dead_letter(state="discarded", error="something else")
        page = text_of(reviewer.get("/dlq/"))
        assert "4 wait for a decision, 3 of them from one cause; 2 causes in all." in page
        assert page.index("value: expected a finite number, got text") < page.index(
            "tags: expected an object"
        )
        assert "something else" not in page

    def test_without_a_letter_it_says_what_to_do(self, reviewer: Client) -> None:
        page = text_of(reviewer.get("/dlq/"))
        assert "No message has failed" in page
        assert "manage.py simulate" in page

    def test_with_nothing_left_to_decide(self, reviewer: Client) -> None:
        make_dead_letter(state="replayed")
        page = text_of(reviewer.get("/dlq/"))
        assert "Nothing waits for a decision" in page
        assert "/dlq/?state=all" in page

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("", {"a", "b"}),
            ("state=all", {"a", "b", "c"}),
            ("state=discarded", {"c"}),
            ("topic=gds.logs.production", {"b"}),
            ("error_type=KeyError", {"b"}),
            ("group=gds-warehouse", {"b"}),
            ("since=24h", {"a"}),
            ("until=24h", {"b"}),
            ("q=key-b", {"b"}),
            ("q=nothing+like+it", set()),
        ],
    )
    def test_filters_live_in_the_address(self, reviewer: Client, query: str, shown: set[str]) -> None:
        recent = timezone.now() - timedelta(hours=1)
        letters = {
            "a": make_dead_letter(last_failed_at=recent),
            "b": make_dead_letter(
                topic="gds.logs.production", error_type="KeyError", group="gds-warehouse", key=b"key-b"
            ),
            "c": make_dead_letter(state="discarded", last_failed_at=recent),
        }
        response = reviewer.get(f"/dlq/?{query}")
        found = {row["letter"].pk for row in response.context["rows"]}
        assert found == {letters[name].pk for name in shown}

    def test_one_cause(self, reviewer: Client) -> None:
        letter, _ = make_dead_letter(), make_dead_letter(error="another")
        response = reviewer.get(f"/dlq/?cause={letter.cause}")
        assert [row["letter"].pk for row in response.context["rows"]] == [letter.pk]

    @pytest.mark.parametrize(
        ("sort", "order"), [("", [2, 1, 0]), ("last_failed_at", [0, 1, 2]), ("-replays", [1, 2, 0])]
    )
    def test_sorting(self, reviewer: Client, sort: str, order: list[int]) -> None:
        letters = [
            make_dead_letter(last_failed_at=NOW + timedelta(minutes=n), replay_count=count)
            for n, count in enumerate([0, 5, 1])
        ]
        response = reviewer.get(f"/dlq/?sort={sort}")
        assert [row["letter"].pk for row in response.context["rows"]] == [letters[n].pk for n in order]

    def test_a_filter_that_can_not_be_read_is_no_empty_list(self, reviewer: Client) -> None:
        make_dead_letter()
        page = text_of(reviewer.get("/dlq/?since=yesterday"))
        assert "These filters can&#x27;t be read" in page or "These filters can't be read" in page
        assert "since &#x27;yesterday&#x27;: &#x27;yesterday&#x27; is neither a time" in page

    def test_pages(self, reviewer: Client) -> None:
        for _ in range(60):
            make_dead_letter()
        first, second = reviewer.get("/dlq/"), reviewer.get("/dlq/?page=2")
        assert "of 60 dead letters" in text_of(first)
        assert len(first.context["rows"]) == 50
        assert len(second.context["rows"]) == 10

    def test_htmx_gets_the_rows_alone(self, reviewer: Client) -> None:
        make_dead_letter()
        response = reviewer.get("/dlq/", headers={"HX-Request": "true"})
        assert response.content.lstrip().startswith(b'<div id="dlq-rows"')

    def test_queries_do_not_grow_with_the_letters(
        self, reviewer: Client, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(50):
            make_dead_letter(error=f"cause {'x' * (number % 7)}")
        with django_assert_max_num_queries(18):  # the navigation asks for its counts as well
            reviewer.get("/dlq/")


class TestLetter:
    def test_it_shows_bytes_error_coordinates_and_history(self, reviewer: Client) -> None:
        letter = make_dead_letter(
            value=b'{"a":1.50}', partition=3, offset=812, headers=[["trace", "/w=="], ["none", None]]
        )
        services.discard(ids=[letter.pk], actor="somebody", reason="test traffic", now=NOW)
        page = text_of(reviewer.get(f"/dlq/{letter.pk}/"))
        assert "{ &quot;a&quot;: 1.50 }" in page
        for part in ("0xff", "gds.metrics.production", "812", "somebody", "test traffic", "discarded"):
            assert part in page
        assert "7b 22 61 22" in text_of(reviewer.get(f"/dlq/{letter.pk}/?view=hex"))
        assert "{&quot;a&quot;:1.50}" in text_of(reviewer.get(f"/dlq/{letter.pk}/?view=text"))

    @pytest.mark.parametrize("value", [None, b"", b"\xff\x00"])
    def test_a_tombstone_an_empty_value_and_rubbish(self, reviewer: Client, value: bytes | None) -> None:
        letter = make_dead_letter(value=value, key=value)
        for view in ("", "json", "text", "hex", "nonsense"):
            assert reviewer.get(f"/dlq/{letter.pk}/?view={view}").status_code == 200

    def test_a_large_value_is_cut_and_downloads_whole(self, reviewer: Client) -> None:
        whole = b"<script>" + b"x" * 200_000
        letter = make_dead_letter(value=whole)
        response = reviewer.get(f"/dlq/{letter.pk}/")
        assert "the first 64 KiB are shown" in text_of(response)
        assert len(response.content) < 120_000
        download = reviewer.get(f"/dlq/{letter.pk}/value/")
        assert download.content == whole
        assert download["Content-Type"] == "application/octet-stream"
        assert download["Content-Disposition"].startswith("attachment")
        assert download["X-Content-Type-Options"] == "nosniff"

    def test_a_tombstone_has_no_download(self, reviewer: Client) -> None:
        assert reviewer.get(f"/dlq/{make_dead_letter(value=None).pk}/value/").status_code == 404

    def test_one_that_is_not_there(self, reviewer: Client) -> None:
        assert reviewer.get("/dlq/404/").status_code == 404

    def test_it_warns_before_its_record_expires(self, reviewer: Client) -> None:
        soon = make_dead_letter(expires_at=timezone.now() + timedelta(hours=2, minutes=5))
        later = make_dead_letter(expires_at=timezone.now() + timedelta(days=5))
        assert "Its record in gds.metrics.dlq expires in 2 h" in text_of(reviewer.get(f"/dlq/{soon.pk}/"))
        assert "expires in" not in text_of(reviewer.get(f"/dlq/{later.pk}/"))

    def test_a_replay_that_was_not_written_and_one_that_waits(self, reviewer: Client) -> None:
        letter, waiting = make_dead_letter(), make_dead_letter()
        item = services.start_replay(ids=[letter.pk], actor="r", now=NOW).run.items.get()
        record_unwritten([ReplayRejected(item.replay_id, "topic gds.x does not exist")], now=NOW)
        run = services.start_replay(ids=[waiting.pk], actor="r", now=NOW).run
        ReplayRun.objects.filter(pk=run.pk).update(waiting_for="Kafka at 10.0.0.1:9092 is unreachable")
        assert "Its replay could not be written." in text_of(reviewer.get(f"/dlq/{letter.pk}/"))
        assert "Kafka at 10.0.0.1:9092 is unreachable" in text_of(reviewer.get(f"/dlq/{waiting.pk}/"))


class TestDeciding:
    def test_replay_from_its_page(
        self, reviewer: Client, enqueued: list[int], django_capture_on_commit_callbacks: Any
    ) -> None:
        letter = make_dead_letter()
        with django_capture_on_commit_callbacks(execute=True):
            response = reviewer.post(f"/dlq/{letter.pk}/replay/", follow=True)
        assert "is being replayed now" in text_of(response)
        assert enqueued == [1]
        assert ReplayRun.objects.get().actor == "reviewer"

    def test_a_double_click_replays_once_and_says_so(self, reviewer: Client, enqueued: list[int]) -> None:
        letter = make_dead_letter()
        reviewer.post(f"/dlq/{letter.pk}/replay/")
        second = reviewer.post(f"/dlq/{letter.pk}/replay/", follow=True)
        assert ReplayRun.objects.count() == 1
        assert ReplayItem.objects.count() == 1
        assert any("is already being replayed" in message for message in said(second))

    def test_discard_needs_a_reason(self, reviewer: Client) -> None:
        letter = make_dead_letter()
        refused = reviewer.post(f"/dlq/{letter.pk}/discard/", {"reason": " "}, follow=True)
        assert said(refused) == ["Discarding needs a reason."]
        assert DeadLetter.objects.get().state == "pending"
        reviewer.post(f"/dlq/{letter.pk}/discard/", {"reason": "noise"})
        assert DeadLetter.objects.get().state == "discarded"

    def test_past_the_limit(self, reviewer: Client, enqueued: list[int]) -> None:
        letter = make_dead_letter(replay_count=3, state="failed")
        refused = reviewer.post(f"/dlq/{letter.pk}/replay/", follow=True)
        assert "needs the override and a reason" in said(refused)[0]
        assert DeadLetter.objects.get().state == "failed"
        refused = reviewer.post(f"/dlq/{letter.pk}/replay/", {"over_limit": "on"}, follow=True)
        assert said(refused) == ["A replay past the limit needs a reason."]
        reviewer.post(f"/dlq/{letter.pk}/replay/", {"over_limit": "on", "reason": "v2 is out"})
        assert DeadLetter.objects.get().state == "replaying"

    def test_a_selection_is_frozen_when_it_is_shown(self, reviewer: Client, enqueued: list[int]) -> None:
        """What fails between the look and the click is not swept in."""
        seen = [make_dead_letter() for _ in range(3)]
        preview = reviewer.get(f"/dlq/replay/?cause={seen[0].cause}")
        assert "Replay 3 dead letters?" in text_of(preview)
        late = make_dead_letter()
        response = reviewer.post("/dlq/replay/", {"ids": preview.context["ids"], "confirm": "3"})
        run = ReplayRun.objects.get()
        assert response["Location"] == f"/dlq/runs/{run.pk}/"
        assert run.total == 3
        assert DeadLetter.objects.get(pk=late.pk).state == "pending"

    def test_many_need_their_count_typed(self, reviewer: Client, enqueued: list[int]) -> None:
        ids = ",".join(str(make_dead_letter().pk) for _ in range(3))
        for action in ("replay", "discard"):
            response = reviewer.post(f"/dlq/{action}/", {"ids": ids, "confirm": "30", "reason": "why"})
            assert "Type 3 to confirm." in text_of(response)
        assert set(DeadLetter.objects.values_list("state", flat=True)) == {"pending"}
        reviewer.post("/dlq/discard/", {"ids": ids, "confirm": "3", "reason": "why"})
        assert set(DeadLetter.objects.values_list("state", flat=True)) == {"discarded"}

    def test_chosen_rows_and_what_is_left_out(self, reviewer: Client) -> None:
        fine, gone = make_dead_letter(), make_dead_letter(state="discarded")
        preview = reviewer.get(f"/dlq/replay/?id={fine.pk}&id={gone.pk}")
        assert preview.context["plan"].ids == (fine.pk,)
        assert "1 left out" in text_of(preview)

    @pytest.mark.parametrize("ids", ["", "1,x", "1;2", "-1", "9" * 30])
    def test_a_tampered_selection_is_refused(self, reviewer: Client, ids: str) -> None:
        make_dead_letter()
        reviewer.post("/dlq/replay/", {"ids": ids, "confirm": "1"})
        assert ReplayRun.objects.count() == 0

    def test_the_run_tells_each_outcome(self, reviewer: Client) -> None:
        letters = [make_dead_letter() for _ in range(2)]
        run = services.start_replay(ids=[one.pk for one in letters], actor="r", now=NOW).run
        first, second = run.items.order_by("pk")
        record_written([ReplayProduced(first.replay_id, 2, 812)], now=NOW)
        record_unwritten([ReplayRejected(second.replay_id, "too large for its topic")], now=NOW)
        page = text_of(reviewer.get(f"/dlq/runs/{run.pk}/"))
        assert "2 of 2 processed: 1 replayed, 1 could not be written" in page
        assert "gds.metrics.production[2]@812" in page
        assert "too large for its topic" in page


def test_the_original_is_linked_where_its_topic_is_declared(reviewer: Client) -> None:
    letter = make_dead_letter(partition=3, offset=17)
    address = f"/topics/{letter.topic}/messages/3/17/"
    assert address not in text_of(reviewer.get(f"/dlq/{letter.pk}/"))
    TopicDefinition.objects.create(name=letter.topic)
    assert address in text_of(reviewer.get(f"/dlq/{letter.pk}/"))


def test_the_admin_only_looks(client_of: Callable[[str], Client]) -> None:
    letter = make_dead_letter()
    run = services.start_replay(ids=[letter.pk], actor="r", now=NOW).run
    admin = client_of("admin")
    User.objects.filter(username="admin").update(is_superuser=True)
    for model, pk in (("deadletter", letter.pk), ("replayrun", run.pk)):
        assert admin.get(f"/admin/dlq/{model}/").status_code == 200
        assert admin.get(f"/admin/dlq/{model}/{pk}/change/").status_code == 200
        assert admin.get(f"/admin/dlq/{model}/add/").status_code == 403
        assert admin.post(f"/admin/dlq/{model}/{pk}/change/", {}).status_code == 403
        assert admin.post(f"/admin/dlq/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403


HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</pre></td></table><svg onload=\"document.title='owned'\">",
    "{{ 7|add:7 }}evaluated",
    "'\"><a href=javascript:alert(1)>x</a>",
    "</textarea></title><iframe srcdoc=\"<script>parent.document.title='owned'</script>\">",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_is_in_a_message_is_text(reviewer: Client, hostile: str) -> None:
    payload = hostile.encode()
    letter = make_dead_letter(
        key=payload, value=payload, error=hostile, error_type=hostile[:200], group=hostile[:200],
        headers=pack_headers([(hostile, payload)]),
    )  # fmt: skip
    run = services.start_replay(
        ids=[make_dead_letter(error=hostile).pk], actor=hostile, now=NOW, reason=hostile
    ).run
    record_unwritten([ReplayRejected(run.items.get().replay_id, hostile)], now=NOW)
    pages = [
        "/dlq/",
        "/dlq/?state=all",
        "/dlq/causes/",
        "/dlq/replay/",
        "/dlq/discard/",
        f"/dlq/?q={hostile}",
        f"/dlq/{letter.pk}/",
        f"/dlq/{letter.pk}/?view=text",
        f"/dlq/{run.items.get().dead_letter_id}/",
        f"/dlq/runs/{run.pk}/",
    ]
    for path in pages:
        page = reviewer.get(path).content.decode()
        for markup in ("<img src=x", "<svg onload", "<iframe", "<script>document", "<a href=javascript"):
            assert markup not in page, path
        assert "14evaluated" not in page, path

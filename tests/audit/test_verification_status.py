"""What the audit page says of the log itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gdsconsole.audit import anchors, verification_status
from gdsconsole.audit.verification_status import Checked, checked, watch
from gdsconsole.live import publish
from tests.audit.making import make_chain, tamper
from tests.audit.test_views import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client_of: Callable[[str], Client], redis_url: str, settings: Any, tmp_path: Path) -> Client:
    """Somebody who may read the log, of six entries and the own sign-in, all anchored."""
    client = client_of("admin")
    settings.GDS_DATA_DIR = tmp_path
    make_chain()
    return client


def test_a_whole_log_is_said_to_be_one(admin: Client) -> None:
    assert "All 7 entries are what was written, verified" in text_of(admin.get("/audit/"))


def test_what_was_changed_is_named(admin: Client) -> None:
    tamper("UPDATE audit_auditentry SET actor = 'nobody' WHERE number = 3")
    for address in ("/audit/", "/audit/verified/"):
        page = text_of(admin.get(address))
        assert "The log is not what was written" in page
        assert "Entry 3 was changed after it was written." in page


def test_what_is_not_known_is_said(admin: Client) -> None:
    anchors.path_of_log().unlink()
    page = text_of(admin.get("/audit/"))
    assert "not everything could be checked" in page
    assert "Not known is whether entries were cut off at the end" in page


def test_of_a_long_log_the_page_tells_what_beat_found(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification_status, "AT_ONCE", 3)
    assert checked(now=timezone.now()) is None
    assert "is not known yet" in text_of(admin.get("/audit/"))
    tamper("DELETE FROM audit_auditentry WHERE number = 3")
    assert watch(now=timezone.now()) is True
    publish.flush()
    found = checked(now=timezone.now())
    assert isinstance(found, Checked)
    assert (found.state, found.problems) == ("tampered", ("entry 4: entry 3 is missing before it",))
    assert "Entry 4: entry 3 is missing before it." in text_of(admin.get("/audit/"))


def test_a_log_that_takes_long_is_not_verified_all_the_time(admin: Client) -> None:
    now = timezone.now()
    publish.publish(
        verification_status.EVENT,
        "newest",
        {"state": "intact", "entries": 1, "problems": [], "unknown": [], "took_s": 60.0},
    )
    publish.flush()
    assert watch(now=now + timedelta(minutes=15)) is False
    assert watch(now=now + timedelta(minutes=21)) is True

"""Who is behind a session is asked each time, and the answer changes when their access does."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission

from gdsconsole.live.authorization import grant_of
from gdsconsole.live.events import EVENT_TYPES


def test_a_user_sees_the_types_of_their_permissions(make_user, session_key_of):
    user = make_user("viewer", "topics.view_alert", "pipelines.view_pipeline")
    grant = grant_of(session_key_of(user))
    assert grant is not None
    assert grant.allowed == {"alert.changed", "pipeline.stats"}
    assert grant.user_id == str(user.pk)


@pytest.mark.parametrize("key", [None, "", "nonsense", "a:b:c"])
def test_no_session_is_nobody(key, db):
    assert grant_of(key) is None


def test_a_tampered_cookie_is_nobody(make_user, session_key_of):
    key = session_key_of(make_user("viewer", "topics.view_alert"))
    assert grant_of(key[:-1] + ("a" if key[-1] != "a" else "b")) is None


def test_a_new_password_ends_the_session(make_user, session_key_of):
    user = make_user("viewer", "topics.view_alert")
    key = session_key_of(user)
    user.set_password("another horse battery")
    user.save()
    assert grant_of(key) is None


def test_an_inactive_user_is_nobody(make_user, session_key_of):
    user = make_user("viewer", "topics.view_alert")
    key = session_key_of(user)
    user.is_active = False
    user.save()
    assert grant_of(key) is None


def test_a_demotion_counts_at_the_next_question(make_user, session_key_of):
    user = make_user("viewer", "topics.view_alert")
    key = session_key_of(user)
    user.user_permissions.clear()
    assert grant_of(key).allowed == frozenset()


def test_an_old_session_ends(make_user, session_key_of, settings):
    key = session_key_of(make_user("viewer", "topics.view_alert"))
    settings.SESSION_COOKIE_AGE = -1
    assert grant_of(key) is None


def test_every_type_needs_a_permission_that_exists(db):
    existing = {
        f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")
    }
    assert {event.permission for event in EVENT_TYPES.values()} <= existing

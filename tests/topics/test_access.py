"""Who may do what: every address of the app, every method, every role."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from gdsconsole.access import ROLES
from tests.factories import make_record
from tests.topics.making import make_alert
from topics.messages import views as message_views
from topics.messages.search import OneRecord
from topics.models import Alert, TopicDefinition
from topics.urls import urlpatterns

pytestmark = pytest.mark.django_db

TOPIC = "gds.metrics.production"
READING = (
    "/alerts/",
    "/alerts/head/",
    "/alerts/{alert}/",
    "/alerts/{alert}/evidence/",
    "/rules/",
    "/topics/",
    f"/topics/{TOPIC}/",
    f"/topics/{TOPIC}/messages/",
    f"/topics/{TOPIC}/messages/0/5/",
    f"/topics/{TOPIC}/messages/0/5/value/",
)
TABLE = [
    *[("get", path, set(ROLES)) for path in READING],
    *[("post", path, set()) for path in READING],
    ("post", "/alerts/acknowledge/", {"operator", "admin"}),
    ("get", "/alerts/acknowledge/", set()),
]


@pytest.mark.parametrize("role", ["anonymous", *ROLES])
@pytest.mark.parametrize(("method", "path", "allowed"), TABLE)
def test_who_may_do_what(
    method: str,
    path: str,
    allowed: set[str],
    role: str,
    client_of: Callable[[str], Client],
    cluster_is: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster_is(error="no answer")
    monkeypatch.setattr(message_views, "read_one", lambda *place: OneRecord(make_record(), [], None, None))
    TopicDefinition.objects.create(name=TOPIC)
    alert = make_alert()
    data = {"id": alert.pk} if method == "post" else {}

    response = getattr(client_of(role), method)(path.format(alert=alert.pk), data)

    is_taken = Alert.objects.get().acknowledged_at is not None
    if role == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    elif role in allowed:
        assert response.status_code in {200, 302}
    else:
        assert response.status_code in {403, 405}
    assert is_taken == (path == "/alerts/acknowledge/" and method == "post" and role in allowed)


def test_every_address_of_the_app_has_a_row_in_the_table() -> None:
    known = {path.format(alert=1) for _, path, _ in TABLE}
    for pattern in urlpatterns:
        given = {"pk": 1} if "<int:pk>" in str(pattern.pattern) else {}
        given |= {"name": TOPIC} if ":name>" in str(pattern.pattern) else {}
        given |= {"partition": 0, "offset": 5} if "<int:offset>" in str(pattern.pattern) else {}
        assert reverse(f"topics:{pattern.name}", kwargs=given) in known


def test_nobody_sees_a_button_that_would_be_refused(
    client_of: Callable[[str], Client], cluster_is: Callable[..., None]
) -> None:
    cluster_is(error="no answer")
    TopicDefinition.objects.create(name=TOPIC)
    pages = ["/alerts/", f"/alerts/{make_alert().pk}/", "/rules/", "/topics/", f"/topics/{TOPIC}/"]
    for role, takes, edits in (("viewer", False, False), ("operator", True, False), ("admin", True, True)):
        client = client_of(role)
        shown = {path: client.get(path).content.decode() for path in pages}
        for path in pages[:2]:
            assert ("/alerts/acknowledge/" in shown[path]) is takes, (role, path)
        for path in pages[1:]:
            assert ("/admin/topics/" in shown[path]) is edits, (role, path)

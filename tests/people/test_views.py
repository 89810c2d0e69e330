"""The pages of people and of one's own account, and the ways around them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.test import Client
from django.utils import timezone

from gdsconsole.audit.models import AuditEntry
from gdsconsole.people import links
from gdsconsole.people.devices import device_of
from gdsconsole.people.lockout_rules import PAIR_TRIES
from gdsconsole.people.models import Attempts, Session
from gdsconsole.people.selectors import headline, people

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
NEW = {"new_password1": PASSWORD, "new_password2": PASSWORD}


@pytest.fixture
def admin(client_of: Callable[[str], Client]) -> Client:
    return client_of("admin")


@pytest.fixture
def olga(admin: Client) -> User:
    user = User.objects.create_user("olga", password="pw", email="olga@example.org")
    user.groups.set(Group.objects.filter(name="operator"))
    return user


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def link_in(response: Any) -> str:
    found = re.search(r'id="password-link">http://testserver([^<]+)<', response.content.decode())
    assert found is not None
    return found[1]


def signed_in(name: str, knowing: str = "pw", **more: Any) -> Client:
    client = Client(**more)
    assert client.post("/login/", {"username": name, "password": knowing}).status_code == 302
    return client


def role(name: str) -> str:
    return str(Group.objects.get(name=name).pk)


class TestPeople:
    def test_the_list_says_who_can_sign_in(self, admin: Client, olga: User) -> None:
        User.objects.create_user("vera")
        User.objects.create_user("gone", password="pw", is_active=False)
        for _ in range(PAIR_TRIES):
            Client().post("/login/", {"username": "olga", "password": "wrong"})
        text = text_of(admin.get("/people/"))
        assert (
            "2 people can sign in, 1 is signed in now; 1 is locked out by wrong passwords; "
            "1 has no password yet." in text
        )
        assert "olga@example.org" in text
        assert "vera" not in text_of(admin.get("/people/?state=locked"))
        assert "gone" in text_of(admin.get("/people/?state=deactivated"))
        assert "Nobody matches" in text_of(admin.get("/people/?q=nobody-of-that-name"))
        assert "can't be read" in text_of(admin.get("/people/?state=odd"))
        admin.get("/people/?sort=-last_sign_in&role=operator&page=7")

    def test_a_new_user_sets_their_own_password_by_the_link(self, admin: Client) -> None:
        made = admin.post("/people/new/", {"username": "vera", "email": "", "roles": [role("viewer")]})
        path = link_in(made)
        assert "Shown now and never again" in text_of(made)
        vera = Client()
        assert "for vera" in text_of(vera.get(path))
        assert vera.post(path, {"new_password1": "short", "new_password2": "short"}).status_code == 400
        assert vera.post(path, NEW)["Location"] == "/login/"
        assert signed_in("vera", PASSWORD).get("/alerts/").status_code == 200
        over = Client().get(path)
        assert (over.status_code, "This link is over" in text_of(over)) == (410, True)
        told = [entry.sentence for entry in AuditEntry.objects.filter(action__startswith="access.")]
        assert "set their own password by a link" in told
        assert path not in str(list(AuditEntry.objects.values()))

    @pytest.mark.parametrize(
        ("form", "problem"),
        [
            ({"username": "olga"}, "There is an account of this name already"),
            ({"username": "OLGA"}, "There is an account of this name already"),
            ({"username": "a b"}, "Enter a valid username"),
            ({"username": ""}, "This field is required"),
            ({"username": "x\0y"}, "Null characters are not allowed"),
            ({"username": "x", "email": "no address"}, "Enter a valid email address"),
            ({"username": "x", "roles": ["999999"]}, "999999 is not one of the available choices"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(
        self, admin: Client, olga: User, form: dict[str, Any], problem: str
    ) -> None:
        before = User.objects.count()
        answer = admin.post("/people/new/", form)
        assert (answer.status_code, User.objects.count()) == (400, before)
        assert problem in text_of(answer)

    def test_an_account_from_end_to_end(self, admin: Client, olga: User) -> None:
        page = f"/people/{olga.pk}/"
        phone = signed_in("olga", headers={"user-agent": "Mozilla/5.0 (iPhone) Safari/604"})
        assert "Safari on iPhone" in text_of(admin.get(page))
        admin.post(f"{page}change/", {"roles": [role("reviewer")], "email": "o@example.org"})
        olga.refresh_from_db()
        assert ([one.name for one in olga.groups.all()], olga.email) == (["reviewer"], "o@example.org")
        assert phone.get("/dlq/").status_code == 200
        admin.post(f"{page}sign-out/")
        assert phone.get("/dlq/").status_code == 302
        assert "Say why" in text_of(admin.post(f"{page}deactivate/", follow=True))
        admin.post(f"{page}deactivate/", {"reason": "left"})
        assert "signs in nowhere" in text_of(admin.get(page))
        assert Client().post("/login/", {"username": "olga", "password": "pw"}).status_code == 200
        admin.post(f"{page}reactivate/")
        signed_in("olga")

    def test_a_role_of_the_consoles_own(self, admin: Client) -> None:
        acknowledge = str(Permission.objects.get(codename="acknowledge_alert").pk)
        admin.post("/people/roles/new/", {"name": "nights", "permissions": [acknowledge]})
        page = admin.get("/people/roles/")
        assert "Nights" in text_of(page)
        pk = role("nights")
        assert f'href="/people/roles/{pk}/"' in page.content.decode()
        assert f'value="{acknowledge}" checked' in admin.get(f"/people/roles/{pk}/").content.decode()
        taken = admin.post("/people/roles/new/", {"name": "Nights"})
        assert (taken.status_code, "There is a role of this name" in text_of(taken)) == (400, True)
        foreign = str(Permission.objects.get(codename="change_user").pk)
        assert admin.post(f"/people/roles/{pk}/", {"name": "x", "permissions": [foreign]}).status_code == 400
        assert admin.get(f"/people/roles/{role('viewer')}/").status_code == 403
        assert admin.post(f"/people/roles/{role('viewer')}/delete/").status_code == 403
        assert admin.get("/people/roles/999999/").status_code == 404
        admin.post(f"/people/roles/{pk}/delete/")
        assert not Group.objects.filter(name="nights").exists()

    def test_a_locked_account_is_unlocked(self, admin: Client, olga: User) -> None:
        for _ in range(PAIR_TRIES):
            Client().post("/login/", {"username": "olga", "password": "wrong"})
        assert "Locked out from 127.0.0.1 until" in text_of(admin.get(f"/people/{olga.pk}/"))
        admin.post(f"/people/{olga.pk}/unlock/")
        signed_in("olga")

    def test_the_last_admin_is_kept_and_told_why(self, admin: Client) -> None:
        me = User.objects.get(username="admin")
        answer = admin.post(f"/people/{me.pk}/change/", {"roles": [role("viewer")]}, follow=True)
        assert "Admin would be the last who may manage people" in text_of(answer)
        assert admin.post(f"/people/{me.pk}/deactivate/", {"reason": "x"}).status_code == 403
        assert User.objects.get(username="admin").groups.get().name == "admin"

    def test_nobody_there_is_404(self, admin: Client) -> None:
        for path in ("/people/999999/", "/people/99999999999999999999999/"):
            assert admin.get(path).status_code == 404
        for act in ("change", "reactivate", "sign-out", "unlock", "link"):
            assert admin.post(f"/people/999999/{act}/").status_code == 404


class TestEscalation:
    """Somebody who manages people and is no superuser, and how they might become one, or take one over."""

    @pytest.fixture
    def root(self, admin: Client) -> User:
        return User.objects.create_superuser("root", password="pw")

    def test_a_superuser_is_not_theirs(self, admin: Client, root: User) -> None:
        page = f"/people/{root.pk}/"
        assert "Not yours to change" in text_of(admin.get(page))
        assert b"Password link</button>" not in admin.get(page).content
        for act in ("change", "deactivate", "sign-out", "unlock", "link"):
            assert admin.post(f"{page}{act}/", {"reason": "x", "roles": []}).status_code == 403, act
        root.refresh_from_db()
        assert (root.is_active, root.is_superuser, root.check_password("pw")) == (True, True, True)
        assert AuditEntry.objects.filter(action="access.refused", actor="admin").count() == 5

    @pytest.mark.parametrize("path", ["/people/new/", "/people/{me}/change/", "/people/{olga}/change/"])
    def test_no_form_makes_one(self, admin: Client, olga: User, path: str) -> None:
        me = User.objects.get(username="admin")
        form = {
            "username": "evil",
            "roles": [role("admin")],
            "superuser": "on",
            "is_superuser": "on",
            "is_staff": "on",
        }
        assert admin.post(path.format(me=me.pk, olga=olga.pk), form).status_code == 403
        assert not User.objects.filter(is_superuser=True).exists()
        assert not User.objects.filter(username="evil").exists()

    def test_a_role_with_more_is_not_given(self, admin: Client, olga: User) -> None:
        more = Group.objects.create(name="root-like")
        more.permissions.add(Permission.objects.get(codename="change_user"))
        page = text_of(admin.get(f"/people/{olga.pk}/"))
        assert "Gives more than you have, so you can't give it" in page
        assert admin.post(f"/people/{olga.pk}/change/", {"roles": [str(more.pk)]}).status_code == 403
        assert olga.groups.get().name == "operator"

    def test_a_link_made_for_a_viewer_is_no_way_into_the_superuser_they_became(
        self, admin: Client, olga: User
    ) -> None:
        path = link_in(admin.post(f"/people/{olga.pk}/link/"))
        User.objects.filter(pk=olga.pk).update(is_superuser=True)
        assert Client().post(path, NEW).status_code == 410

    @pytest.mark.parametrize("codename", ["change_user", "add_user", "delete_user", "view_user"])
    def test_djangos_admin_is_no_way_either(self, admin: Client, root: User, codename: str) -> None:
        """Not even for somebody with Django's own permissions over users and groups."""
        me = User.objects.get(username="admin")
        me.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
        assert admin.get("/admin/").status_code == 200
        for model, pk in (("user", me.pk), ("user", root.pk), ("group", role("admin"))):
            for path in ("", "add/", f"{pk}/change/", f"{pk}/delete/", f"{pk}/password/"):
                url = f"/admin/auth/{model}/{path}"
                answer = admin.post(url, {"is_superuser": "on", "username": "admin", "post": "yes", **NEW})
                assert answer.status_code in (403, 404, 302), url
                # Of an address that isn't one, Django makes the address of a change.
                assert "changelist" not in answer.headers.get("Location", ""), url
        me.refresh_from_db()
        root.refresh_from_db()
        assert (me.is_superuser, root.check_password("pw"), Group.objects.count()) == (False, True, 4)

    def test_the_admins_password_page_is_ones_own_account(self, admin: Client) -> None:
        assert admin.get("/admin/password_change/")["Location"] == "/account/"
        admin.post("/admin/password_change/", {"old_password": "pw", **NEW})
        assert User.objects.get(username="admin").check_password("pw")

    def test_the_last_admin_is_kept_in_djangos_admin_too(
        self, client: Client, root: User, admin: Client
    ) -> None:
        User.objects.get(username="admin").delete()
        client.force_login(root)
        action = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
        for path, form in (
            (f"{root.pk}/delete/", {"post": "yes"}),
            ("", action),
            (f"{root.pk}/password/", {"usable_password": "false", "unset-password": "yes"}),
        ):
            answer = client.post(f"/admin/auth/user/{path}", form, follow=True)
            assert "Root would be the last who may manage people" in text_of(answer), path
            assert "successfully" not in text_of(answer)
        root.refresh_from_db()
        assert root.has_usable_password()
        assert not AuditEntry.objects.filter(sentence__startswith="deleted").exists()


class TestLinks:
    def test_a_link_ends_with_time_a_sign_in_and_another_link_used(
        self, admin: Client, olga: User, settings: Any
    ) -> None:
        first, second = (link_in(admin.post(f"/people/{olga.pk}/link/")) for _ in range(2))
        signed_in("olga")
        assert Client().get(first).status_code == 410
        third = link_in(admin.post(f"/people/{olga.pk}/link/"))
        assert Client().get(third).status_code == 200
        settings.PASSWORD_RESET_TIMEOUT = -1
        assert Client().post(third, NEW).status_code == 410
        assert Client().get(second).status_code == 410

    def test_a_link_is_for_its_account_and_unforgeable(self, admin: Client, olga: User) -> None:
        path = link_in(admin.post(f"/people/{olga.pk}/link/"))
        other = User.objects.get(username="admin")
        *_, uid, token, _ = path.split("/")
        forged = links.urlsafe_base64_encode(str(other.pk).encode())
        for wrong in (
            f"/account/set-password/{forged}/{token}/",
            f"/account/set-password/{uid}/{token[:-1]}x/",
            f"/account/set-password/{uid}/x/",
            "/account/set-password/%00/x/",
            "/account/set-password/OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5/c-x/",
        ):
            assert Client().get(wrong).status_code == 410, wrong
        olga.is_active = False
        olga.save()
        assert Client().post(path, NEW).status_code == 410

    def test_using_it_ends_the_sessions(self, admin: Client, olga: User) -> None:
        old = signed_in("olga")
        path = link_in(admin.post(f"/people/{olga.pk}/link/"))
        assert old.get("/alerts/").status_code == 200
        Client().post(path, NEW)
        assert old.get("/alerts/").status_code == 302

    def test_it_is_mailed_where_mail_is_set_up(self, admin: Client, olga: User, settings: Any) -> None:
        assert not mail.outbox
        admin.post(f"/people/{olga.pk}/link/")
        assert not mail.outbox
        settings.GDS_MAILS = True
        answer = admin.post(f"/people/{olga.pk}/link/")
        assert "It was mailed to olga@example.org" in text_of(answer)
        assert f"http://testserver{link_in(answer)}" in mail.outbox[0].body
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
        answer = admin.post(f"/people/{olga.pk}/link/")
        assert "It could not be mailed. ConnectionRefusedError" in text_of(answer)
        assert link_in(answer)


class TestAccount:
    def test_one_sees_ones_sessions_and_ends_one(self, admin: Client, olga: User) -> None:
        here = signed_in("olga", headers={"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0"})
        there = signed_in("olga", headers={"user-agent": "Mozilla/5.0 (Windows) Chrome/130 Edg/130"})
        text = text_of(here.get("/account/"))
        assert "You are signed in here and at 1 other place." in text
        assert "Firefox on Linux this session" in text
        assert "Edge on Windows" in text
        other = Session.objects.get(user_agent__contains="Edg")
        foreign = Session.objects.get(user__username="admin")
        here.post(f"/account/sessions/{foreign.pk}/end/")
        assert admin.get("/account/").status_code == 200
        here.post(f"/account/sessions/{other.pk}/end/")
        assert there.get("/account/").status_code == 302
        assert here.get("/account/").status_code == 200
        assert AuditEntry.objects.latest("number").sentence == "ended one own session"

    def test_others_and_everywhere(self, admin: Client, olga: User) -> None:
        here, first, second = (signed_in("olga") for _ in range(3))
        here.post("/account/sessions/end-others/")
        assert [one.get("/account/").status_code for one in (here, first, second)] == [200, 302, 302]
        copied = Client()
        copied.cookies["sessionid"] = here.cookies["sessionid"].value
        assert here.post("/account/sessions/end-all/")["Location"] == "/login/"
        assert copied.get("/account/").status_code == 302
        assert not Session.objects.filter(user=olga).exists()
        assert AuditEntry.objects.filter(sentence="signed out everywhere").exists()

    def test_another_password(self, admin: Client, olga: User) -> None:
        here, there = signed_in("olga"), signed_in("olga")
        wrong = here.post("/account/password/", {"old_password": "x", **NEW})
        assert (wrong.status_code, "This is not your password now" in text_of(wrong)) == (400, True)
        weak = here.post(
            "/account/password/", {"old_password": "pw", "new_password1": "12", "new_password2": "12"}
        )
        assert "too short" in text_of(weak)
        assert here.post("/account/password/", {"old_password": "pw", **NEW})["Location"] == "/account/"
        assert here.get("/account/").status_code == 200
        assert there.get("/account/").status_code == 302
        signed_in("olga", PASSWORD)
        entry = AuditEntry.objects.get(action="access.password")
        assert (entry.actor, entry.sentence) == ("olga", "changed their own password")

    def test_an_open_session_is_no_way_to_guess_the_password(self, admin: Client, olga: User) -> None:
        here = signed_in("olga")
        for _ in range(PAIR_TRIES):
            here.post("/account/password/", {"old_password": "x", **NEW})
        locked = here.post("/account/password/", {"old_password": "pw", **NEW})
        assert "Too many wrong passwords" in text_of(locked)
        assert User.objects.get(pk=olga.pk).check_password("pw")

    def test_somebody_without_a_role_has_an_account_too(self, client_of: Callable[[str], Client]) -> None:
        assert "You have no role yet" in text_of(client_of("outsider").get("/account/"))


def test_a_device_is_named_as_people_know_it() -> None:
    assert device_of("Mozilla/5.0 (Macintosh) AppleWebKit Version/17 Safari/605") == "Safari on macOS"
    assert device_of("Mozilla/5.0 (Linux; Android 14) Chrome/120 Mobile Safari/537") == "Chrome on Android"
    assert device_of("curl/8.5.0") == "curl"
    assert device_of("Prober/1.0") == "Prober"
    assert device_of("") == "unknown device"


def test_nobody_at_all_is_a_sentence_too() -> None:
    assert headline(list(people(now=timezone.now()))) == "0 people can sign in, 0 are signed in now."
    assert Attempts.objects.filter(last_at__lt=timezone.now() - timedelta(days=1)).count() == 0

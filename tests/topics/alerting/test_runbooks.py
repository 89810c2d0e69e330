"""A runbook is a link on a page: http(s) alone, however it got into the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from tests.topics.making import make_alert, make_alert_rule
from topics.admin import AlertRuleAdmin
from topics.alerting import services
from topics.models import AlertRule

pytestmark = pytest.mark.django_db

SCRIPTS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://example.org/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://example.org/runbook",
    "//example.org/runbook",
]


@pytest.mark.parametrize("url", SCRIPTS)
def test_nothing_else_can_be_entered(url: str, rf: Any, admin_user: Any) -> None:
    rule = make_alert_rule()
    rule.runbook_url = url
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert "runbook_url" in refused.value.message_dict
    with pytest.raises(ValidationError) as refused:
        services.save_rule(rule=rule, actor="operator", now=timezone.now())
    assert "http:// or https://" in str(refused.value.message_dict["runbook_url"])
    request = rf.post("/", {"name": "x", "runbook_url": url})
    request.user = admin_user
    form = AlertRuleAdmin(AlertRule, admin.site).get_form(request)(request.POST)
    # The admin takes what has no scheme for an https address, which then is what is stored.
    assert "runbook_url" in form.errors or form.cleaned_data["runbook_url"].startswith("https://")
    assert AlertRule.objects.get().runbook_url == ""


@pytest.mark.parametrize("url", SCRIPTS)
def test_what_lies_in_the_database_is_text(url: str, client_of: Callable[[str], Client]) -> None:
    alert = make_alert(make_alert_rule(runbook_url=url))
    page = client_of("viewer").get(f"/alerts/{alert.pk}/").content.decode()
    assert "Runbook <code>" in page
    assert 'rel="noopener noreferrer">Runbook' not in page
    assert f'href="{url.strip()}' not in page


@pytest.mark.parametrize("url", ["https://runbooks.example/cpu#now", "http://10.0.0.1:8080/x?y=1"])
def test_a_good_one_is_a_link(url: str, client_of: Callable[[str], Client]) -> None:
    rule = make_alert_rule(runbook_url=url)
    rule.full_clean()
    page = client_of("viewer").get(f"/alerts/{make_alert(rule).pk}/").content.decode()
    assert f'<a href="{url}" rel="noopener noreferrer">Runbook' in page

"""The admin: definitions and rules are edited and validated, alerts only looked at."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.topics.making import START, make_alert_rule
from topics import seed
from topics.alerting import services
from topics.alerting.services import Measurement
from topics.models import Alert, AlertRule, TopicDefinition

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def rule_form(**changes: Any) -> dict[str, Any]:
    fields = {
        "name": "CPU high",
        "source": "metric",
        "metric_name": "cpu_usage_percent",
        "operator": ">",
        "threshold": "80",
        "for_s": "0",
        "keep_firing_for_s": "0",
        "severity": "warning",
        "enabled": "on",
    }
    return fields | changes


PAGES = [
    "admin:topics_topicdefinition_changelist",
    "admin:topics_topicdefinition_add",
    "admin:topics_alertrule_changelist",
    "admin:topics_alertrule_add",
    "admin:topics_alert_changelist",
]


@pytest.mark.parametrize("name", PAGES)
def test_pages_render_without_anything_inline(admin: Client, name: str) -> None:
    seed.install_guide_definitions()
    seed.install_default_rules()
    answer = admin.get(reverse(name))
    assert answer.status_code == 200
    assert "'unsafe-inline'" not in answer["Content-Security-Policy"]
    text = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", text)
    assert not re.search(r"\sstyle=|\son(click|load|change)=", text)


def test_a_rule_is_made_and_edited(admin: Client) -> None:
    assert admin.post(reverse("admin:topics_alertrule_add"), rule_form()).status_code == 302
    rule = AlertRule.objects.get()
    page = reverse("admin:topics_alertrule_change", args=[rule.pk])
    assert admin.post(page, rule_form(threshold="70")).status_code == 302
    rule.refresh_from_db()
    assert rule.threshold == 70


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": "nan"}, "Enter a number"),
        ({"threshold": "much"}, "Enter a number"),
        ({"operator": "~"}, "Select a valid choice. ~"),
        ({"group_by_tags": "a, b"}, "tag names separated by commas"),
        ({"for_s": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_field(admin: Client, changes: dict[str, str], said: str) -> None:
    answer = admin.post(reverse("admin:topics_alertrule_add"), rule_form(**changes))
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not AlertRule.objects.exists()


def test_disabling_a_rule_resolves_its_alerts(admin: Client) -> None:
    rule = make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    services.record_measurements([Measurement("lag", "consumer_lag", {"group": "g"}, 11, START)], now=START)
    form = rule_form(name="Lag", source="lag", metric_name="consumer_lag", threshold="10")
    del form["enabled"]
    admin.post(reverse("admin:topics_alertrule_change", args=[rule.pk]), form)
    assert Alert.objects.get().state == "resolved"


def test_a_definition_against_the_naming_rule_is_refused(admin: Client) -> None:
    answer = admin.post(
        reverse("admin:topics_topicdefinition_add"),
        {
            "name": "Metrics",
            "partitions": "12",
            "replication_factor": "1",
            "min_insync_replicas": "2",
            "retention_ms": "604800000",
            "cleanup_policy": "delete",
            "compression_type": "lz4",
            "max_message_bytes": "1048588",
            "key_strategy": "instance",
            "extra_config": "{}",
            "enabled": "on",
        },
    )
    text = answer.content.decode()
    assert "has 1 parts by" in text
    assert "2 is more than the replication factor of 1" in text
    assert not TopicDefinition.objects.exists()


def test_a_definition_is_not_renamed(admin: Client) -> None:
    seed.install_guide_definitions()
    definition = TopicDefinition.objects.first()
    assert definition is not None
    page = admin.get(reverse("admin:topics_topicdefinition_change", args=[definition.pk]))
    assert 'name="name"' not in page.content.decode()


def test_alerts_are_read_only(admin: Client) -> None:
    make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    services.record_measurements([Measurement("lag", "consumer_lag", {"group": "g"}, 11, START)], now=START)
    alert = Alert.objects.get()
    page = reverse("admin:topics_alert_change", args=[alert.pk])
    assert admin.get(page).status_code == 200
    assert admin.post(page, {"state": "resolved"}).status_code == 403
    assert admin.get(reverse("admin:topics_alert_add")).status_code == 403
    assert admin.post(reverse("admin:topics_alert_delete", args=[alert.pk])).status_code == 403


def test_a_rule_with_alerts_can_be_disabled_not_deleted(admin: Client) -> None:
    rule = make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    services.record_measurements([Measurement("lag", "consumer_lag", {"group": "g"}, 11, START)], now=START)
    answer = admin.post(reverse("admin:topics_alertrule_delete", args=[rule.pk]), {"post": "yes"})
    assert answer.status_code in (200, 403)
    assert AlertRule.objects.filter(pk=rule.pk).exists()

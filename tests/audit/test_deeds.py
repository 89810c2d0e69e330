"""What people do is in the log, in the deed's own transaction, by page and by command."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from dlq import services as dlq
from dlq.models import DeadLetter
from gdsconsole.audit import services as audit
from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.verification import verify
from gdsconsole.pipelines import services as pipelines
from gdsconsole.pipelines.models import Pipeline
from tests.factories import by, make_dead_letter
from tests.topics.making import START, make_alert_rule
from topics import seed
from topics.alerting import services as alerts
from topics.alerting.services import Measurement
from topics.definitions import services as definitions
from topics.models import Alert, AlertRule, TopicDefinition

pytestmark = pytest.mark.django_db

CLI = f"cli:{getpass.getuser()}"
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def told(area: str) -> list[str]:
    found = AuditEntry.objects.filter(action__startswith=f"{area}.").order_by("number")
    return [f"{one.actor} {one.sentence}" for one in found]


def newest() -> AuditEntry:
    return AuditEntry.objects.order_by("-number")[0]


@pytest.fixture
def alerting() -> None:
    pipelines.ensure(groups={"alerting": "gds-alerting"})


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_pipelines_by_page(admin: Client, alerting: None):
    admin.post("/pipelines/alerting/pause/")
    admin.post("/pipelines/alerting/pause/")
    admin.post("/pipelines/alerting/resume/")
    admin.post("/pipelines/alerting/scale/", {"consumers": 3})
    admin.post("/pipelines/alerting/scale/", {"consumers": 300})
    pipelines.halt(name="alerting", reason="all poison", now=NOW)
    admin.post("/pipelines/alerting/resume/")
    assert told("pipeline") == [
        "root paused pipeline alerting",
        "root resumed pipeline alerting",
        "root scaled pipeline alerting from 1 to 3 consumers",
        "root resumed pipeline alerting, which had halted: all poison",
    ]
    assert newest().target_url == "/pipelines/#pipeline-alerting"


def test_pipelines_by_command(alerting: None):
    call_command("pipelines", "scale", "alerting", "2")
    call_command("pipelines", "list")
    assert told("pipeline") == [f"{CLI} scaled pipeline alerting from 1 to 2 consumers"]


def test_an_entry_that_cannot_be_written_undoes_the_deed(alerting: None, monkeypatch: pytest.MonkeyPatch):
    def full(**_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(audit, "record", full)
    with pytest.raises(OSError, match="disk full"):
        pipelines.pause(name="alerting", **by())
    assert Pipeline.objects.get().state == "running"


@pytest.fixture
def alert() -> Alert:
    make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag", threshold=10)
    alerts.record_measurements([Measurement("lag", "consumer_lag", {"group": "g"}, 11, START)], now=START)
    return Alert.objects.get()


def test_an_acknowledgement(alert: Alert):
    user = User.objects.create_user("operator")
    alerts.acknowledge_alert(alert=alert, actor=user, now=NOW, note="disk ordered")
    with pytest.raises(alerts.NotAcknowledgeable):
        alerts.acknowledge_alert(alert=alert, actor=user, now=NOW)
    assert told("alert") == [f"operator acknowledged alert {alert.pk}: consumer_lag 11 > 10 on g"]
    assert (newest().reason, newest().target_url) == ("disk ordered", f"/alerts/{alert.pk}/")


def test_an_acknowledgement_by_command_names_both(alert: Alert):
    User.objects.create_user("operator")
    call_command("alerts", "ack", str(alert.pk), "--user", "operator")
    assert told("alert") == [f"{CLI} acknowledged alert {alert.pk} for operator: consumer_lag 11 > 10 on g"]


def rule_form(**changes: Any) -> dict[str, Any]:
    fields = {
        "name": "CPU high", "source": "metric", "metric_name": "cpu_usage_percent", "operator": ">",
        "threshold": "80", "for_s": "0", "keep_firing_for_s": "0", "severity": "warning", "enabled": "on",
    }  # fmt: skip
    return fields | changes


def test_rules_in_the_admin(admin: Client):
    admin.post(reverse("admin:topics_alertrule_add"), rule_form())
    rule = AlertRule.objects.get()
    page = reverse("admin:topics_alertrule_change", args=[rule.pk])
    admin.post(page, rule_form())
    admin.post(page, rule_form(threshold="70", severity="critical"))
    admin.post(page, rule_form(threshold="nan"))
    assert newest().changes == {"threshold": (80.0, 70.0), "severity": ("warning", "critical")}
    admin.post(reverse("admin:topics_alertrule_delete", args=[rule.pk]), {"post": "yes"})
    assert told("rule") == [
        "root added rule CPU high",
        "root changed rule CPU high",
        "root deleted rule CPU high",
    ]
    assert newest().changes["threshold"] == (70.0, None)


def test_a_rule_whose_alerts_keep_it_is_not_deleted_and_not_told(admin: Client, alert: Alert):
    action = {"action": "delete_selected", "_selected_action": [alert.rule_id], "post": "yes"}
    admin.post(reverse("admin:topics_alertrule_changelist"), action)
    assert AlertRule.objects.exists()
    assert told("rule") == []


def test_several_rules_deleted_at_once(admin: Client):
    rules = [make_alert_rule(name=f"rule {n}") for n in range(2)]
    action = {"action": "delete_selected", "_selected_action": [rule.pk for rule in rules], "post": "yes"}
    admin.post(reverse("admin:topics_alertrule_changelist"), action)
    assert sorted(told("rule")) == ["root deleted rule rule 0", "root deleted rule rule 1"]


def test_definitions_in_the_admin(admin: Client):
    name = "gds.metrics.staging"
    form = {
        "name": name, "partitions": "3", "replication_factor": "1", "min_insync_replicas": "1",
        "retention_ms": "604800000", "cleanup_policy": "delete", "compression_type": "lz4",
        "max_message_bytes": "1048588", "key_strategy": "instance", "extra_config": "{}", "enabled": "on",
    }  # fmt: skip
    admin.post(reverse("admin:topics_topicdefinition_add"), form)
    definition = TopicDefinition.objects.get()
    admin.post(
        reverse("admin:topics_topicdefinition_change", args=[definition.pk]), {**form, "partitions": "6"}
    )
    assert newest().changes == {"partitions": (3, 6)}
    admin.post(reverse("admin:topics_topicdefinition_delete", args=[definition.pk]), {"post": "yes"})
    assert told("topic") == [
        f"root declared topic {name}",
        f"root changed the definition of topic {name}",
        f"root deleted the definition of topic {name}",
    ]


def test_imported_definitions(tmp_path: Any):
    seed.install_guide_definitions()
    exported = definitions.export_topics()
    exported["topics"][0]["owner"] = "dba"
    file = tmp_path / "topics.json"
    file.write_text(json.dumps(exported))
    call_command("topics", "import", str(file))
    name = exported["topics"][0]["name"]
    assert told("topic") == [f"{CLI} changed the definition of topic {name}"]


def test_what_the_console_installs_itself_is_nobodys_deed():
    seed.install_guide_definitions()
    seed.install_default_rules()
    assert not AuditEntry.objects.exists()


def test_dead_letters(monkeypatch: pytest.MonkeyPatch):
    one, *others = (make_dead_letter() for _ in range(4))
    ids = [letter.pk for letter in others]
    dlq.discard(ids=[one.pk], actor="reviewer", reason="a test", now=NOW)
    run = dlq.start_replay(ids=ids, actor="reviewer", now=NOW, reason="mended").run
    with pytest.raises(dlq.NothingDone):
        dlq.start_replay(ids=ids, actor="reviewer", now=NOW)
    assert told("dead-letter") == [
        f"reviewer discarded dead letter {one.pk}",
        f"reviewer asked for replay {run.pk} of 3 dead letters",
    ]
    entry = newest()
    assert (entry.reason, entry.target, entry.target_url) == (
        "mended",
        f"replay {run.pk}",
        f"/dlq/runs/{run.pk}/",
    )
    assert entry.changes == {f"dead letter {pk}": ("pending", "replaying") for pk in ids}
    assert AuditEntry.objects.get(action="dead-letter.discard").target_url == f"/dlq/{one.pk}/"


def test_a_discard_by_command():
    letters = [make_dead_letter() for _ in range(2)]
    call_command("dlq", "discard", *(str(one.pk) for one in letters), "--reason", "old")
    assert told("dead-letter") == [f"{CLI} discarded 2 dead letters"]
    assert DeadLetter.objects.filter(state="discarded").count() == 2


def test_everything_told_here_is_one_intact_chain(admin: Client, alerting: None):
    admin.post("/pipelines/alerting/pause/")
    call_command("pipelines", "resume", "alerting")
    assert verify().is_intact
    assert verify().entries == 3

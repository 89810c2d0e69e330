"""The alerts' pages: what fires, since when, who has it; why; and what is watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from gdsconsole.devstack.redis_server import RedisServer
from tests.dlq.test_views import HOSTILE
from tests.topics.making import START, make_alert, make_alert_rule
from topics.alerting import services
from topics.models import Alert, AlertEvent, AlertRule

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def shown(response: Any) -> list[str]:
    """The subjects of the rows, in their order."""
    return [row["alert"].subject for group in response.context["groups"] for row in group["rows"]]


@pytest.fixture
def several() -> dict[str, Alert]:
    """Alerts of three rules: two critical, three of one warning, one each pending and resolved."""
    cpu = make_alert_rule()
    disk = make_alert_rule(name="Disk full", metric_name="disk_used_percent", severity="critical")
    lag = make_alert_rule(name="Lag", metric_name="replication_lag_seconds")

    def at(minutes: float) -> dict[str, Any]:
        return {"started_at": START + timedelta(minutes=minutes)}

    made = [
        make_alert(cpu, "cpu-young", **at(9)),
        make_alert(cpu, "cpu-old", **at(1)),
        make_alert(cpu, "cpu-middle", **at(5)),
        make_alert(disk, "disk-young", **at(8)),
        make_alert(disk, "disk-old", **at(4)),
        make_alert(lag, "lag-oldest", **at(0)),
        make_alert(lag, "pending", state="pending", **at(2)),
        make_alert(cpu, "over", state="resolved", resolved_at=START + timedelta(hours=1), **at(3)),
    ]
    return {alert.subject: alert for alert in made}


class TestList:
    def test_the_worst_stand_first_and_those_of_one_rule_together(
        self, operator: Client, several: dict[str, Alert]
    ) -> None:
        response = operator.get("/alerts/")
        assert shown(response) == [
            *("disk-old", "disk-young"),
            "lag-oldest",
            *("cpu-old", "cpu-middle", "cpu-young"),
            "pending",
        ]
        page = text_of(response)
        assert "6 alerts firing, 2 critical. None is acknowledged, the worst is Disk full on disk-old" in page
        assert 'CPU high</span><span class="quiet">3 firing, oldest' in page
        assert "Acknowledge all 3 of it" in page
        assert "Acknowledge all 7 shown" in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("state=firing&severity=critical", {"disk-old", "disk-young"}),
            ("state=pending", {"pending"}),
            ("state=resolved", {"over"}),
            ("state=all&q=CPU+high", {"cpu-old", "cpu-middle", "cpu-young", "over"}),
            ("q=lag-o", {"lag-oldest"}),
            ("q=disk_used", {"disk-old", "disk-young"}),
            ("environment=staging", set()),
            ("acknowledged=yes", set()),
            ("acknowledged=no&severity=critical", {"disk-old", "disk-young"}),
            ("rule=999999", set()),
        ],
    )
    def test_filters_live_in_the_address(
        self, operator: Client, several: dict[str, Alert], query: str, found: set[str]
    ) -> None:
        assert set(shown(operator.get(f"/alerts/?{query}"))) == found

    @pytest.mark.parametrize(
        ("sort", "first"),
        [
            ("started_at", "lag-oldest"),
            ("-started_at", "cpu-young"),
            ("subject", "cpu-middle"),
            ("-rule", "pending"),
        ],
    )
    def test_sorts_live_in_the_address(
        self, operator: Client, several: dict[str, Alert], sort: str, first: str
    ) -> None:
        assert shown(operator.get(f"/alerts/?sort={sort}"))[0] == first

    def test_each_tab_counts_what_it_would_show(self, operator: Client, several: dict[str, Alert]) -> None:
        response = operator.get("/alerts/?severity=critical&state=resolved")
        assert {one["value"]: one["count"] for one in response.context["states"]} == {
            "open": 2,
            "firing": 2,
            "pending": 0,
            "resolved": 0,
            "all": 2,
        }

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("state=burning", "state 'burning': Select a valid choice. burning is not one"),
            ("severity=worst", "severity 'worst': Select a valid choice"),
            ("rule=cpu", "rule 'cpu': Enter a number."),
            ("rule=NaN", "rule 'NaN': Enter a number."),
            ("rule=1e40", "rule '1e40': Ensure this value is less than"),
            ("acknowledged=maybe", "acknowledged 'maybe': Select a valid choice"),
            ("sort=colour", "sort 'colour': Select a valid choice"),
            ("q=%00", "q '\\x00': Null characters are not allowed."),
        ],
    )
    def test_a_filter_that_can_not_be_read_is_named_with_its_value(
        self, operator: Client, several: dict[str, Alert], query: str, said: str
    ) -> None:
        response = operator.get(f"/alerts/?{query}")
        assert response.context["problems"][0].startswith(said)
        assert "can&#x27;t be read" in text_of(response) or "can't be read" in text_of(response)
        assert "cpu-young" not in text_of(response)

    @pytest.mark.parametrize("number", ["2", "0", "last", "-1", "x", "99999999999999999999"])
    def test_pages(self, operator: Client, number: str) -> None:
        rule = make_alert_rule()
        for one in range(60):
            make_alert(rule, f"db-{one:02}")
        response = operator.get(f"/alerts/?page={number}")
        assert "of 60 alerts" in text_of(response)
        assert len(shown(response)) == (50 if number in {"x", "last"} else 10)

    def test_htmx_gets_the_rows_alone(self, operator: Client, several: dict[str, Alert]) -> None:
        assert text_of(operator.get("/alerts/", headers=HTMX)).startswith('<div id="alert-rows"')
        assert text_of(operator.get("/alerts/head/")).startswith('<div id="alerts-head"')

    def test_it_asks_the_database_as_often_for_many_as_for_few(
        self, operator: Client, django_assert_max_num_queries: Any
    ) -> None:
        rule = make_alert_rule()
        for number in range(40):
            make_alert(rule, f"db-{number:02}")
        with django_assert_max_num_queries(20):  # the navigation asks for its counts as well
            operator.get("/alerts/")


class TestEmpty:
    def test_without_rules_nothing_is_watched(self, operator: Client) -> None:
        assert "There is no enabled rule, so nothing can fire." in text_of(operator.get("/alerts/"))

    def test_with_rules_it_says_how_to_try(self, operator: Client) -> None:
        make_alert_rule()
        page = text_of(operator.get("/alerts/"))
        assert "Nothing is firing. 1 rule evaluated." in page
        assert "manage.py send_metrics - --topic gds.metrics.production" in page

    def test_a_filter_that_nothing_passes_can_be_cleared(self, operator: Client) -> None:
        make_alert()
        page = text_of(operator.get("/alerts/?q=nothing+like+it"))
        assert "No alert of this state passes the filters." in page
        assert 'href="/alerts/"' in page

    def test_no_history_yet(self, operator: Client) -> None:
        make_alert_rule()
        assert "Alerts that are over stay here" in text_of(operator.get("/alerts/?state=resolved"))


class TestTaking:
    def test_one(self, operator: Client) -> None:
        alert = make_alert()
        response = operator.post(
            "/alerts/acknowledge/", {"id": alert.pk, "next": f"/alerts/{alert.pk}/"}, follow=True
        )
        assert response.redirect_chain == [(f"/alerts/{alert.pk}/", 302)]
        page = text_of(response)
        assert "1 alert acknowledged" in page
        assert "acknowledged" in page
        event = AlertEvent.objects.get()
        assert (event.state, str(event.actor)) == ("acknowledged", "operator")

    def test_several_but_not_what_somebody_has_or_what_is_over(
        self, operator: Client, several: dict[str, Alert]
    ) -> None:
        colleague = User.objects.create_user("colleague")
        services.acknowledge_alert(alert=several["cpu-old"], actor=colleague, now=timezone.now())
        response = operator.post(
            "/alerts/acknowledge/", {"id": [alert.pk for alert in several.values()]}, headers=HTMX
        )
        assert response.status_code == 204
        assert json.loads(response["HX-Trigger"])["toast"] == {"tone": "ok", "title": "6 alerts acknowledged"}
        held = dict(Alert.objects.values_list("subject", "acknowledged_by__username"))
        assert held["cpu-old"] == "colleague"
        assert held["over"] is None
        assert held["pending"] == held["disk-old"] == "operator"

    def test_a_second_click_says_who_was_faster(self, operator: Client) -> None:
        alert = make_alert()
        for _ in range(2):
            response = operator.post("/alerts/acknowledge/", {"id": alert.pk}, headers=HTMX)
        assert "acknowledged already" in json.loads(response["HX-Trigger"])["toast"]["title"]
        assert AlertEvent.objects.count() == 1

    @pytest.mark.parametrize("wanted", ["", "x", "-1", "1 OR 1=1", "9" * 18, "9" * 5000, "\u0661"])
    def test_ids_that_are_none_take_nothing(self, operator: Client, wanted: str) -> None:
        make_alert()
        assert operator.post("/alerts/acknowledge/", {"id": wanted}).status_code == 302
        assert not AlertEvent.objects.exists()

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
    def test_it_goes_back_to_the_console_only(self, operator: Client, back: str) -> None:
        response = operator.post("/alerts/acknowledge/", {"id": make_alert().pk, "next": back})
        assert response["Location"] == "/alerts/"


class TestOne:
    def test_why_and_since_when(self, operator: Client) -> None:
        rule = make_alert_rule(
            for_s=60, runbook_url="https://runbooks.example/cpu", description="Look at it."
        )
        alert = make_alert(rule)
        other = make_alert(rule, "prod-db-02", started_at=START + timedelta(minutes=4))
        make_alert(rule, "prod-db-03", started_at=START + timedelta(hours=4))
        make_alert(rule, state="resolved", resolved_at=START, started_at=START - timedelta(days=1))
        response = operator.get(f"/alerts/{alert.pk}/")
        page = text_of(response)
        assert "cpu_usage_percent &gt; 80 holds for" in page
        assert 'data-live="metric.newest:prod-db-01/cpu_usage_percent:value"' in page
        assert "https://runbooks.example/cpu" in page
        assert [one.pk for one in response.context["nearby"]] == [other.pk]
        assert "1 time</a>, last" in page
        assert f'hx-get="/alerts/{alert.pk}/evidence/"' in page

    def test_events_name_their_actors(self, operator: Client) -> None:
        alert = make_alert()
        boss = User.objects.create_user("the-boss")
        services.acknowledge_alert(alert=alert, actor=boss, now=timezone.now(), note="is on it")
        page = text_of(operator.get(f"/alerts/{alert.pk}/"))
        assert 'the-boss <span class="soft">is on it</span>' in page

    def test_a_rule_edited_since_is_told(self, operator: Client) -> None:
        rule = make_alert_rule()
        alert = make_alert(rule)
        assert "edited since" not in text_of(operator.get(f"/alerts/{alert.pk}/"))
        rule.save()
        assert "edited since" in text_of(operator.get(f"/alerts/{alert.pk}/"))

    @pytest.mark.parametrize("pk", ["0", "999999", "9" * 40])
    def test_an_alert_that_is_not_there(self, operator: Client, pk: str) -> None:
        assert operator.get(f"/alerts/{pk}/").status_code == 404

    def test_lag_and_broker_alerts_have_no_record(self, operator: Client) -> None:
        rule = make_alert_rule(source="lag", metric_name="consumer_lag")
        alert = make_alert(rule, labels={"group": "gds-warehouse"}, subject="gds-warehouse")
        page = text_of(operator.get(f"/alerts/{alert.pk}/evidence/"))
        assert "The record that" not in page
        assert "lag.sampled:gds-warehouse:total_lag" in text_of(operator.get(f"/alerts/{alert.pk}/"))

    def test_with_kafka_away_the_evidence_is_what_the_console_stored(
        self, operator: Client, settings: Any
    ) -> None:
        settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
        alert = make_alert(topic="gds.metrics.production", partition=3, offset=17)
        page = text_of(operator.get(f"/alerts/{alert.pk}/evidence/"))
        assert "The records around it could not be read." in page
        assert "127.0.0.1:1" in page
        assert "gds.metrics.production [3] @ 17" in page
        assert "Kafka no longer has it" not in page


class TestRules:
    def test_state_and_last_fired(self, operator: Client) -> None:
        firing = make_alert_rule()
        make_alert_rule(name="Quiet", metric_name="disk_used_percent")
        make_alert_rule(name="Off", enabled=False)
        make_alert(firing, fired_at=timezone.now() - timedelta(hours=2))
        make_alert(firing, "prod-db-02", fired_at=timezone.now() - timedelta(days=2))
        response = operator.get("/rules/")
        rows = {row["rule"].name: row["rule"] for row in response.context["rules"]}
        assert list(rows) == ["CPU high", "Quiet", "Off"]
        assert (rows["CPU high"].firing, rows["CPU high"].fired_lately) == (2, 1)
        page = text_of(response)
        assert "2 rules evaluate 2 metrics; 1 disabled. 1 firing." in page
        assert "2 firing" in page
        assert firing.pending_period == "0 s"

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("enabled=false", ["Off"]),
            ("severity=critical", ["Disk full"]),
            ("source=lag", ["Lag"]),
            ("q=prod-db-%2A", ["Off"]),
            ("sort=-name", ["Off", "Lag", "Disk full", "CPU high"]),
            ("sort=-fired", ["CPU high", "Off", "Lag", "Disk full"]),
        ],
    )
    def test_filters_and_sorts_live_in_the_address(
        self, operator: Client, query: str, found: list[str]
    ) -> None:
        make_alert(make_alert_rule(), fired_at=timezone.now())
        make_alert_rule(name="Disk full", metric_name="disk_used_percent", severity="critical")
        make_alert_rule(name="Lag", source="lag", metric_name="consumer_lag")
        make_alert_rule(name="Off", instance="prod-db-*", enabled=False)
        names = [row["rule"].name for row in operator.get(f"/rules/?{query}").context["rules"]]
        if "sort=-fired" in query:
            names, found = names[:1], found[:1]
        assert names == found

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("source=mars", "source 'mars': Select"),
            ("severity=x", "severity 'x': Select"),
            ("sort=x", "sort 'x': Select"),
        ],
    )
    def test_a_filter_that_can_not_be_read(self, operator: Client, query: str, said: str) -> None:
        make_alert_rule()
        response = operator.get(f"/rules/?{query}")
        assert response.context["problems"][0].startswith(said)
        assert "rules" not in response.context or not response.context.get("rules")

    def test_without_any(self, operator: Client) -> None:
        page = text_of(operator.get("/rules/"))
        assert "Nothing is evaluated: there is no rule." in page
        assert "manage.py seed --no-users" in page

    def test_editing_is_in_the_admin_for_admins(self, client_of: Callable[[str], Client]) -> None:
        rule = make_alert_rule()
        admin = client_of("admin")
        assert f"/admin/topics/alertrule/{rule.pk}/change/" in text_of(admin.get("/rules/"))
        assert admin.get(f"/admin/topics/alertrule/{rule.pk}/change/").status_code == 200


def test_pages_go_on_without_redis(operator: Client, redis_server: RedisServer) -> None:
    redis_server.kill()
    alert = make_alert()
    for path in ("/alerts/", f"/alerts/{alert.pk}/", "/rules/"):
        assert operator.get(path).status_code == 200


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_is_in_a_label_is_text(operator: Client, hostile: str) -> None:
    rule = AlertRule.objects.create(
        name=hostile[:100], metric_name=hostile, threshold=1, description=hostile, instance=hostile
    )
    labels = {"database_type": hostile, "instance_id": hostile, hostile: hostile, "tenant_id": hostile}
    alert = make_alert(rule, subject=hostile, labels=labels, environment=hostile)
    make_alert(rule, subject=hostile, environment="other")
    user = User.objects.create_user(hostile[:150])
    services.acknowledge_alert(alert=alert, actor=user, now=timezone.now(), note=hostile[:200])
    pages = ["/alerts/", f"/alerts/{alert.pk}/", f"/alerts/{alert.pk}/evidence/", "/rules/", "/alerts/head/"]
    for path in [*pages, f"/alerts/?q={hostile}", f"/alerts/?state={hostile}", f"/rules/?q={hostile}"]:
        page = operator.get(path).content.decode()
        for markup in ("<img src=x", "<svg onload", "<iframe", "<script>document", "<a href=javascript"):
            assert markup not in page, path
        assert "14evaluated" not in page, path

from __future__ import annotations

from django.urls import path

from gdsconsole.web import converters  # noqa: F401  # registers them
from topics.alerting import views as alert_views
from topics.definitions import views as topic_views
from topics.messages import views as message_views
from topics.models.alerts import ALERT_ROUTE

app_name = "topics"
urlpatterns = [
    path("alerts/", alert_views.alerts, name="alerts"),
    path("alerts/head/", alert_views.alerts_head, name="alerts-head"),
    path("alerts/acknowledge/", alert_views.acknowledge, name="acknowledge"),
    path(ALERT_ROUTE, alert_views.alert, name="alert"),
    path("alerts/<int:pk>/evidence/", alert_views.alert_evidence, name="alert-evidence"),
    path("rules/", alert_views.rules, name="rules"),
    path("topics/", topic_views.topics, name="topics"),
    path("topics/<name:name>/", topic_views.topic, name="topic"),
    path("topics/<name:name>/messages/", message_views.messages, name="messages"),
    path("topics/<name:name>/messages/<int:partition>/<int:offset>/", message_views.message, name="message"),
    path(
        "topics/<name:name>/messages/<int:partition>/<int:offset>/value/", message_views.value, name="value"
    ),
]

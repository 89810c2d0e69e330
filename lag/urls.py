from __future__ import annotations

from django.urls import path

from gdsconsole.web import converters  # noqa: F401  # registers them
from lag import broker_views, group_views

app_name = "lag"
urlpatterns = [
    path("lag/", group_views.groups, name="groups"),
    path("lag/<groupname:name>/", group_views.group, name="group"),
    path("brokers/", broker_views.brokers, name="brokers"),
    path("brokers/partitions/", broker_views.partitions, name="partitions"),
]

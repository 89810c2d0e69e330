from __future__ import annotations

from django.urls import path

from lag import broker_views, group_views

app_name = "lag"
urlpatterns = [
    path("lag/", group_views.groups, name="groups"),
    # A group's name may hold slashes.
    path("lag/<path:name>/", group_views.group, name="group"),
    path("brokers/", broker_views.brokers, name="brokers"),
    path("brokers/partitions/", broker_views.partitions, name="partitions"),
]

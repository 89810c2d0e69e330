from __future__ import annotations

from django.urls import path

from gdsconsole.audit import views

app_name = "audit"
urlpatterns = [
    path("audit/", views.entries, name="list"),
    path("audit/verified/", views.verified, name="verified"),
]

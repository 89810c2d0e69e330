from __future__ import annotations

from django.urls import path

from gdsconsole.pipelines import views
from gdsconsole.pipelines.halts import views as halt_views

app_name = "pipelines"
urlpatterns = [
    path("pipelines/", views.pipelines, name="list"),
    path("pipelines/<slug:name>/pause/", views.pause, name="pause"),
    path("pipelines/<slug:name>/resume/", views.resume, name="resume"),
    path("pipelines/<slug:name>/scale/", views.scale, name="scale"),
    path("pipelines/<slug:name>/halts/", halt_views.halted, name="halts"),
    path("pipelines/<slug:name>/halts/<slug:decision>/", halt_views.decide, name="decide"),
]

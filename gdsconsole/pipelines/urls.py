from __future__ import annotations

from django.urls import path

from gdsconsole.pipelines import views

app_name = "pipelines"
urlpatterns = [
    path("pipelines/", views.pipelines, name="list"),
    path("pipelines/<slug:name>/pause/", views.pause, name="pause"),
    path("pipelines/<slug:name>/resume/", views.resume, name="resume"),
    path("pipelines/<slug:name>/scale/", views.scale, name="scale"),
]

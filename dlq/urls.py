from __future__ import annotations

from django.urls import path

from dlq import decision_views, views

app_name = "dlq"
urlpatterns = [
    path("dlq/", views.letters, name="letters"),
    path("dlq/causes/", views.causes, name="causes"),
    path("dlq/replay/", decision_views.replay_selection, name="replay-selection"),
    path("dlq/discard/", decision_views.discard_selection, name="discard-selection"),
    path("dlq/runs/<int:pk>/", views.run, name="run"),
    path("dlq/<int:pk>/", views.letter, name="letter"),
    path("dlq/<int:pk>/value/", views.value, name="value"),
    path("dlq/<int:pk>/replay/", decision_views.replay, name="replay"),
    path("dlq/<int:pk>/discard/", decision_views.discard, name="discard"),
]

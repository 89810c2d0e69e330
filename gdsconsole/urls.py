"""URL map; each app brings its own."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from gdsconsole.assembly import views
from gdsconsole.people.sign_in_views import AdminSignIn, SignIn, SignOut

handler403 = "gdsconsole.web.not_allowed.permission_denied"
handler500 = "gdsconsole.web.unavailable.server_error"

urlpatterns = [
    path("", views.overview, name="overview"),
    path("overview/state/", views.overview_state, name="overview-state"),
    path("overview/alerts/", views.overview_alerts, name="overview-alerts"),
    path("overview/fleet/", views.overview_fleet, name="overview-fleet"),
    path("frame/", views.frame_state, name="frame"),
    path("palette/", views.palette, name="palette"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", SignOut.as_view(), name="logout"),
    # The admin's own forms would be further ways in.
    path("admin/login/", AdminSignIn.as_view()),
    path("admin/logout/", SignOut.as_view()),
    path("admin/password_change/", RedirectView.as_view(pattern_name="people:account")),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("", include("topics.urls")),
    path("", include("dlq.urls")),
    path("", include("lag.urls")),
    path("", include("gdsconsole.pipelines.urls")),
    path("", include("gdsconsole.audit.urls")),
    path("", include("gdsconsole.people.urls")),
    path("admin/", admin.site.urls),
]

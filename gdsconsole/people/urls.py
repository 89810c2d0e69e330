from __future__ import annotations

from django.urls import path

from gdsconsole.people import account_views, role_views, views

app_name = "people"
urlpatterns = [
    path("people/", views.people, name="list"),
    path("people/new/", views.new, name="new"),
    path("people/roles/", role_views.roles, name="roles"),
    path("people/roles/new/", role_views.new, name="new-role"),
    path("people/roles/<int:pk>/", role_views.role, name="role"),
    path("people/roles/<int:pk>/delete/", role_views.delete, name="delete-role"),
    path("people/<int:pk>/", views.person, name="person"),
    path("people/<int:pk>/change/", views.change, name="change"),
    path("people/<int:pk>/deactivate/", views.deactivate, name="deactivate"),
    path("people/<int:pk>/reactivate/", views.reactivate, name="reactivate"),
    path("people/<int:pk>/sign-out/", views.sign_out, name="sign-out"),
    path("people/<int:pk>/unlock/", views.unlock, name="unlock"),
    path("people/<int:pk>/link/", views.link, name="link"),
    path("account/", account_views.account, name="account"),
    path("account/password/", account_views.change_password, name="password"),
    path("account/sessions/<int:pk>/end/", account_views.end_session, name="end-session"),
    path("account/sessions/end-others/", account_views.end_others, name="end-others"),
    path("account/sessions/end-all/", account_views.end_all, name="end-all"),
    path("account/set-password/<str:uid>/<str:token>/", account_views.set_password, name="set-password"),
]

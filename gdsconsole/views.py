"""Pages that belong to no app: the overview and the health endpoints."""

from __future__ import annotations

from dataclasses import asdict

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from gdsconsole import readiness


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "overview.html")


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; says nothing of its parts."""
    return JsonResponse({"ok": True})


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether every part answers: 200 when all do, else 503; each part with what is wrong with it."""
    parts = readiness.read()
    ok = all(part.ok for part in parts)
    body = {"ok": ok, "parts": [asdict(part) for part in parts]}
    return JsonResponse(body, status=200 if ok else 503, headers={"Cache-Control": "no-store"})

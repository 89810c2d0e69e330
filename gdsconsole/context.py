"""What every page's frame needs: navigation and who is looking."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def chrome(request: HttpRequest) -> dict[str, Any]:
    """Template context of the page frame; reads no database, so error pages can use it too."""
    return {"organization": settings.GDS_ORGANIZATION}

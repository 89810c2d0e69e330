"""Addresses of this app's pages that several other pages lead to."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse


def alerts_of_instance(instance_id: str) -> str:
    """The list of everything that ever fired on an instance."""
    return f"{reverse('topics:alerts')}?{urlencode({'state': 'all', 'q': instance_id})}"

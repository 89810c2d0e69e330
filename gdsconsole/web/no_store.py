"""What a page shows is of now, and for who asked: no answer is kept by a browser or a proxy."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin


class NothingKept(MiddlewareMixin):
    """An address answers htmx with a part of its page. Kept, that part would be what "back" shows.

    A view that sets Cache-Control itself is left alone; files are served before this is reached.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        patch_vary_headers(response, ["HX-Request"])
        response.headers.setdefault("Cache-Control", "no-store")
        return response

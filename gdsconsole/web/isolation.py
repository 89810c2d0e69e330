"""Headers that keep the console to itself: other sites load nothing of it, its pages use no device."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

# What a page of the console has no use for, whatever script gets into it; copying a link is its own.
_REFUSED = (
    "accelerometer", "autoplay", "browsing-topics", "camera",
    "clipboard-read", "compute-pressure", "cross-origin-isolated", "display-capture", "encrypted-media",
    "fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "identity-credentials-get", "idle-detection",
    "keyboard-map", "local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture",
    "publickey-credentials-create", "publickey-credentials-get", "screen-wake-lock", "serial",
    "storage-access", "usb", "window-management", "xr-spatial-tracking",
)  # fmt: skip
HEADERS = {
    "Permissions-Policy": ", ".join(["clipboard-write=(self)", *(f"{name}=()" for name in _REFUSED)]),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Isolation(MiddlewareMixin):
    """The outermost, so that files, redirects, refusals and errors have the headers too."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

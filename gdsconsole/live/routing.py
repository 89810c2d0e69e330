"""The addresses of sockets: there is one."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path, re_path

from gdsconsole.live.consumers import LiveConsumer


class NoSuchSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Any other address: refused in the handshake, as a page would answer 404."""

    async def connect(self) -> None:
        await self.close()


LIVE_ROUTE = "ws/live/"
live_application = URLRouter([path(LIVE_ROUTE, LiveConsumer.as_asgi()), re_path("", NoSuchSocket.as_asgi())])

"""The WebSocket: authorise, join, forward. What a page sends is not listened to, and bounded."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host

from gdsconsole.database.outages import outage_of
from gdsconsole.live.authorization import Grant, grant_of
from gdsconsole.live.hub import TOO_MANY, Hub, current_hub
from gdsconsole.live.limits import MOST_BYTES_IN
from gdsconsole.live.origin import header_map, is_same_origin
from gdsconsole.live.sockets import Socket

STUCK_S = 30.0
TRY_LATER = 1013
MESSAGE_TOO_BIG = 1009


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One page's socket. A wrong origin, an anonymous or powerless user is refused in the handshake."""

    hub: Hub | None = None
    socket: Socket | None = None
    writer: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        headers = header_map(self.scope["headers"])
        session_key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
        try:
            grant = await self._grant(session_key) if _is_welcome(self.scope, headers) else None
        except Exception as error:
            if outage_of(error) is None:
                raise
            # Nobody knows yet who this is; the page asks again.
            await self.accept()
            await self.close(code=TRY_LATER)
            return
        if grant is None or not grant.allowed:
            await self.close()
            return
        await self.accept()
        self.hub = current_hub()
        self.socket = self.hub.join(session_key, grant)
        if self.socket is None:
            # After the handshake: a browser tells a page the code of a close, but not why it was refused.
            await self.close(code=TOO_MANY)
            return
        self.writer = asyncio.create_task(self._write(self.socket), name="live-socket")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(text_data.encode() if text_data is not None else bytes_data or b"") > MOST_BYTES_IN:
            await self.close(code=MESSAGE_TOO_BIG)

    async def disconnect(self, code: int) -> None:
        if self.writer is not None:
            self.writer.cancel()
        if self.hub is not None and self.socket is not None:
            self.hub.leave(self.socket)

    async def _grant(self, session_key: str) -> Grant | None:
        grant: Grant | None = await database_sync_to_async(grant_of)(session_key)
        return grant

    async def _write(self, socket: Socket) -> None:
        try:
            while (text := await socket.next_text()) is not None:
                # A tab that takes nothing for this long is gone, or better off connecting again.
                await asyncio.wait_for(self.send(text_data=text), STUCK_S)
            await self.close(code=socket.close_code)
        except TimeoutError:
            await self.close(code=TRY_LATER)
        finally:
            if self.hub is not None:
                self.hub.leave(socket)


def _is_welcome(scope: dict[str, Any], headers: dict[str, str]) -> bool:
    host, _ = split_domain_port(headers.get("host", ""))
    allowed = settings.ALLOWED_HOSTS or (["localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    if not host or not validate_host(host, allowed):
        return False
    secure = scope.get("scheme") == "wss"
    if not secure and settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        seen = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower(), "")
        secure = seen.split(",")[0].strip() == value
    return is_same_origin(headers, secure=secure, trusted=settings.CSRF_TRUSTED_ORIGINS)

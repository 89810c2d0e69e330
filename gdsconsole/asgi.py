"""ASGI entry point: pages over HTTP, live frames over `/ws/live/`."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from gdsconsole.memory import bound_heaps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gdsconsole.settings")
# Before anything starts a thread.
bound_heaps()
# Loads the apps; what follows may import models.
http = get_asgi_application()

from gdsconsole.database.timeouts import PAGES, bound_waits  # noqa: E402
from gdsconsole.live.routing import live_application  # noqa: E402

bound_waits(PAGES)

application = ProtocolTypeRouter({"http": http, "websocket": live_application})

"""The client settings this console runs with."""

from __future__ import annotations

from django.conf import settings

from gdsconsole.kafka.config import ClientSettings


def kafka_settings() -> ClientSettings:
    """From `KAFKA_BOOTSTRAP_SERVERS` and `KAFKA_CONFIG_*`; raises `WrongClientConfig` naming a wrong one."""
    return ClientSettings(
        bootstrap_servers=settings.KAFKA_BOOTSTRAP_SERVERS, overrides=dict(settings.KAFKA_CONFIG)
    )

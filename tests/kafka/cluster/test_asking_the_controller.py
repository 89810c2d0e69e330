"""What the client sends to "the controller", while the broker that is named as it has just died."""

from __future__ import annotations

import pytest

from gdsconsole.kafka.cluster import metadata
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable

SETTINGS = ClientSettings("127.0.0.1:1")


class Controllers:
    """Named by turns, each time that metadata is read; those in `dead` don't answer."""

    def __init__(self, *dead: bool) -> None:
        self._dead = dead
        self.named = 0
        self.waited_s = 0.0

    def metadata(self, settings: ClientSettings, *, timeout_s: float) -> None:
        self.named += 1

    def ask(self, within_s: float) -> str:
        if self._dead[self.named]:
            self.waited_s += within_s
            raise KafkaUnavailable("127.0.0.1:1", "Timed out waiting for controller")
        return "answer"


def asked(controllers: Controllers, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(metadata, "metadata", controllers.metadata)
    return metadata._by_controller(SETTINGS, controllers.ask, timeout_s=2.0)


def test_one_that_answers_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = Controllers(False)
    assert asked(controllers, monkeypatch) == "answer"
    assert controllers.named == 0


def test_another_is_asked_when_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = Controllers(True, False)
    assert asked(controllers, monkeypatch) == "answer"
    assert (controllers.named, controllers.waited_s) == (1, 1.0)


def test_both_together_take_no_longer_than_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = Controllers(True, True)
    with pytest.raises(KafkaUnavailable, match="waiting for controller"):
        asked(controllers, monkeypatch)
    assert controllers.waited_s == 2.0

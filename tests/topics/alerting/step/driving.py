"""The alerting step in the hands of a test: its clock, what it is fed, and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.topics.making import START, Feed
from topics.alerting.step import RulesStep
from topics.models import AlertEvent


class Clock:
    def __init__(self) -> None:
        self.now = START + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


def send(step: RulesStep, feed: Feed, *metrics: Any) -> bool:
    stored = step.handle(feed.batch(*metrics))
    feed.settle(stored)
    return stored


def events() -> list[str]:
    return list(AlertEvent.objects.order_by("pk").values_list("state", flat=True))

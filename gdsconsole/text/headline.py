"""The one sentence at the head of a page: whether anything is wrong, and what first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Headline:
    """`tone` is bad, warn or ok; empty where there is nothing to judge."""

    text: str
    tone: str = ""

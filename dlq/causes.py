"""Which dead letters have the same cause (pure).

Two failures have one cause when their error type, their topic and their message agree once the
parts that differ from record to record (numbers, ids, times, quoted values) are taken out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

LABEL_LENGTH = 200
UNKNOWN_ERROR = "unknown error"

_NAME = r"(?:utf-?\d+|[A-Za-z_$][A-Za-z_.$-]{0,39})"

# The order matters: what contains digits goes before the digits themselves.
_VARIABLE_PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bb(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"), "<bytes>"),
    # A quoted plain name is a field or a codec and tells causes apart; anything else quoted is data.
    (re.compile(rf"(?<!\w)(?:'(?!{_NAME}')[^']*'|\"(?!{_NAME}\")[^\"]*\")(?!\w)"), "<value>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.I), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.I), "<hex>"),
    # A digest or an object id: long, hexadecimal, and with a digit, or words would match.
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b", re.I), "<hex>"),
    (re.compile(r"(?<![A-Za-z_])(?<!utf-)[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.I), "<n>"),
)


@dataclass(frozen=True, slots=True)
class CauseOf:
    fingerprint: str
    label: str


def cause_of(*, error_type: str, message: str, topic: str | None) -> CauseOf:
    """The cause of one failure: a fingerprint of 16 hex digits and the text shown for it."""
    label = normalise(message) or UNKNOWN_ERROR
    digest = hashlib.blake2b("\0".join((error_type, label, topic or "")).encode(), digest_size=8)
    return CauseOf(fingerprint=digest.hexdigest(), label=label)


def normalise(message: str) -> str:
    """The message without what differs between records of one cause, at most 200 characters."""
    # A message may quote its record, and a record may have megabytes: cut before matching, too.
    text = message[: LABEL_LENGTH * 20]
    for pattern, replacement in _VARIABLE_PARTS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"

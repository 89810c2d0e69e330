"""Who looked at which payload: the content of records and dead letters is people's data.

It is shown once the entry is written, and not else: where the database can't take the entry within a
second, the page says so and shows nothing. Somebody who looks at the same again within ten minutes, or whose
page reads itself again, makes no second entry; a page of a list is one entry with its offsets; each download
is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypedDict, Unpack

from gdsconsole.audit.models import AuditEntry
from gdsconsole.audit.services import MAX_ACTOR, MAX_SENTENCE, line, record
from gdsconsole.database.timeouts import hurried

VIEW, DOWNLOAD, EXPORT = "payload.view", "payload.download", "payload.export"
AGAIN = timedelta(minutes=10)
# A page's content waits for the log, and the log for its turn to write.
LONGEST_WAIT_MS = 1_000


class Entry(TypedDict):
    """What an entry says: `sentence` goes on from the actor's name and holds `target`."""

    actor: str
    sentence: str
    target: str
    target_url: str
    now: datetime


def viewed(**entry: Unpack[Entry]) -> AuditEntry | None:
    """Write down that somebody sees a payload; None where the log has it of the last minutes.

    Raises the database's error where it can't be written; the caller then shows nothing.
    """
    return None if _is_known(entry) else _written(VIEW, entry)


def downloaded(**entry: Unpack[Entry]) -> AuditEntry:
    """Write down that somebody takes a payload along, each time."""
    return _written(DOWNLOAD, entry)


def exported(**entry: Unpack[Entry]) -> AuditEntry:
    """Write down that somebody takes along what the console has."""
    return _written(EXPORT, entry)


def offsets(places: Iterable[tuple[int, int]]) -> str:
    """Places (partition, offset) as `0@12-14,20 3@7`."""
    by_partition: Mapping[int, list[int]] = {
        partition: sorted({offset for _, offset in found})
        for partition, found in groupby(sorted(places), key=lambda place: place[0])
    }
    return " ".join(f"{partition}@{_ranges(found)}" for partition, found in by_partition.items())


def _ranges(numbers: list[int]) -> str:
    told = []
    # Within a run of neighbours, a number and its place in the list grow together.
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        told.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return ",".join(told)


def _is_known(entry: Entry) -> bool:
    said = line(entry["sentence"], MAX_SENTENCE)
    if said != entry["sentence"]:
        return False  # one that was cut may stand for other offsets
    recent = AuditEntry.objects.filter(at__gt=entry["now"] - AGAIN, at__lte=entry["now"], action=VIEW)
    return recent.filter(actor=line(entry["actor"], MAX_ACTOR), sentence=said).exists()


def _written(action: str, entry: Entry) -> AuditEntry:
    with hurried(LONGEST_WAIT_MS):
        return record(action=action, **entry)

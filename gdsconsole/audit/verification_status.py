"""Whether the log is what was written, as its page says it: read at once where it is short, else by beat.

Going through a long log takes seconds, so beat does it every five minutes and publishes what it found.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from gdsconsole.audit.models import AuditHead
from gdsconsole.audit.verification import Verification, VerificationState, verify
from gdsconsole.live import snapshots
from gdsconsole.live.publish import publish

log = logging.getLogger(__name__)

EVENT = "audit.verified"
# So many entries are gone through in less than a tenth of a second, while somebody waits for the page.
AT_ONCE = 1_000
# A log so long that going through it takes its worker more than a twentieth of the time waits longer.
SHARE = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict and when it was reached. `problems` are whole sentences."""

    state: VerificationState
    at: datetime
    entries: int
    problems: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def more(self) -> int:
        """How many problems there are behind the first."""
        return len(self.problems) - 1


def checked(*, now: datetime) -> Checked | None:
    """The newest verdict; None where none is known, because beat or Redis is away."""
    head = AuditHead.objects.first()
    if head is None or head.number <= AT_ONCE:
        return _checked(verify(), now)
    kept = (snapshots.latest(EVENT) or {}).get("newest")
    if kept is None:
        return None
    at = datetime.fromtimestamp(kept["published_at"], UTC)
    return Checked(kept["state"], at, kept["entries"], tuple(kept["problems"]), tuple(kept["unknown"]))


def watch(*, now: datetime) -> bool:
    """Verify the log and publish the verdict; False where the last time took so long that it is not due."""
    kept = (snapshots.latest(EVENT) or {}).get("newest")
    if kept is not None and now.timestamp() - kept["published_at"] < SHARE * kept["took_s"]:
        return False
    began = time.monotonic()
    found = _checked(verify(), now)
    for problem in found.problems:
        log.error("the audit log is not what was written: %s", problem)
    for unknown in found.unknown:
        log.warning("of the audit log is not known %s", unknown)
    publish(
        EVENT,
        "newest",
        {
            "state": found.state,
            "entries": found.entries,
            "problems": list(found.problems),
            "unknown": list(found.unknown),
            "took_s": time.monotonic() - began,
        },
    )
    return True


def _checked(verdict: Verification, at: datetime) -> Checked:
    problems = tuple(problem.sentence for problem in verdict.problems)
    return Checked(verdict.state, at, verdict.entries, problems, verdict.unknown)

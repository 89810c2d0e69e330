"""A log of before its entries were sealed goes on: what was good is sealed, what was changed stays told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from gdsconsole.audit import triggers
from gdsconsole.audit.models import AuditEntry, AuditHead
from gdsconsole.audit.verification import verify
from tests.audit.making import make_entry

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("audit", "0001_audit_log")]
AFTER = [("audit", "0002_sealed_entries")]


def migrate(target: list[tuple[str, str]]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps


@pytest.fixture
def old() -> Iterator[Any]:
    """The log's models as they were, with five entries chained without a key."""
    apps = migrate(BEFORE)
    entries, heads = (
        apps.get_model("audit", "AuditEntry").objects,
        apps.get_model("audit", "AuditHead").objects,
    )
    now, previous = timezone.now(), "0" * 64
    fields = {"actor": "operator", "action": "pipeline.pause", "target": "", "target_url": "", "reason": ""}
    with triggers.lifted(connection):
        for number in range(1, 6):
            entry = {
                **fields,
                "sentence": f"paused p{number}",
                "outcome": "done",
                "details": "",
                "number": number,
            }
            whole = {"format": "gds-audit-1", "previous": previous, "fields": {
                **entry, "at": now.isoformat(timespec="microseconds")}}  # fmt: skip
            text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
            digest = sha256(text.encode()).hexdigest()
            entries.create(at=now, previous=previous, digest=digest, **entry)
            previous = digest
        heads.create(pk=1, number=5, digest=previous)
    yield entries
    migrate(AFTER)


def test_a_good_log_is_sealed_and_goes_on(old: Any) -> None:
    migrate(AFTER)
    assert (verify().problems, verify().entries) == ((), 5)
    assert AuditEntry.objects.filter(key="").count() == 0
    assert make_entry().number == 6
    assert verify().problems == ()


def test_what_was_changed_before_stays_told(old: Any) -> None:
    with triggers.lifted(connection):
        old.filter(number=3).update(actor="nobody")
    migrate(AFTER)
    (problem,) = verify().problems
    assert (problem.number, problem.what) == (3, "was changed after it was written")


def test_a_missing_entry_stays_told(old: Any) -> None:
    with triggers.lifted(connection):
        old.filter(number=2).delete()
    migrate(AFTER)
    problem = verify().problems[0]
    assert (problem.number, problem.what) == (3, "entry 2 is missing before it")
    assert AuditHead.objects.get().number == 5

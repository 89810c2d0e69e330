"""Entries are sealed with a key. Those of a log that is here already are sealed now; one that isn't what its
old, keyless digest says keeps that digest, so that it stays told apart."""

import json
from datetime import UTC
from hashlib import sha256

from django.db import migrations, models

from gdsconsole.audit import chain, keys, triggers

FIELDS = ("actor", "action", "sentence", "target", "target_url", "reason", "outcome", "details")


def drop_triggers(apps, schema_editor):
    triggers.drop(schema_editor.connection)


def create_triggers(apps, schema_editor):
    triggers.create(schema_editor.connection)


def seal(apps, schema_editor):
    entries = apps.get_model("audit", "AuditEntry").objects
    heads = apps.get_model("audit", "AuditHead").objects
    if not entries.exists():
        return
    key = keys.ring().current
    before, after, number = chain.START, chain.START, 0
    for entry in list(entries.order_by("number").iterator(chunk_size=1000)):
        fields = {
            "number": entry.number,
            "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
            **{name: getattr(entry, name) for name in FIELDS},
        }
        old = entry.digest
        is_good = entry.previous == before and entry.number == number + 1 and old == _keyless(before, fields)
        if is_good:
            entry.digest = chain.digest(key.secret, after, {**fields, "key": key.id})
        entry.previous, entry.key = after, key.id
        entry.save()
        before, after, number = old, entry.digest, entry.number
    heads.filter(pk=1, digest=before).update(digest=after)


def _keyless(previous, fields):
    canonical = json.dumps(
        {"format": "gds-audit-1", "previous": previous, "fields": fields},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return sha256(canonical.encode("ascii")).hexdigest()


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_audit_log")]

    operations = [
        migrations.RunPython(drop_triggers, create_triggers),
        migrations.AddField(
            model_name="auditentry",
            name="key",
            field=models.CharField(blank=True, default="", max_length=16),
        ),
        migrations.RunPython(seal, migrations.RunPython.noop),
        migrations.RunPython(create_triggers, drop_triggers),
    ]

"""The log's triggers on PostgreSQL.

They fire ALWAYS, so that `session_replication_role = replica` is no way around them, and have no condition,
column or argument of their own: all they do is in three functions, whose text can be compared exactly. The
functions name every table by its schema, so that a search path leads them nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

TABLES = ("audit_auditentry", "audit_audithead")
_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 4, 8, 16, 32


def _refused(what: str) -> str:
    raised = "RAISE EXCEPTION 'the audit log is append-only: %'"
    return f"{raised}, {what} USING ERRCODE = 'integrity_constraint_violation';"


FUNCTIONS = {
    "audit_refuse": f"""
BEGIN
  {_refused("TG_OP || ' of ' || TG_TABLE_NAME || ' is refused'")}
END
""",
    "audit_entry_is_next": f"""
DECLARE
  head bigint;
BEGIN
  EXECUTE format('SELECT number FROM %I.audit_audithead WHERE id = 1', TG_TABLE_SCHEMA) INTO head;
  IF NEW.number IS DISTINCT FROM coalesce(head, 0) + 1 THEN
    {_refused("'entry ' || NEW.number || ' is not the next one'")}
  END IF;
  RETURN NEW;
END
""",  # noqa: S608  nothing of it is anybody's input
    "audit_head_follows": f"""
DECLARE
  newest bigint;
  made text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    EXECUTE format('SELECT max(number) FROM %I.audit_auditentry', TG_TABLE_SCHEMA) INTO newest;
    IF NEW.number IS DISTINCT FROM coalesce(newest, 0) THEN
      {_refused("'its head is at its newest entry'")}
    END IF;
    RETURN NEW;
  END IF;
  EXECUTE format('SELECT digest FROM %I.audit_auditentry WHERE number = $1', TG_TABLE_SCHEMA) INTO made
    USING NEW.number;
  IF NEW.id <> OLD.id OR NEW.number <> OLD.number + 1 OR NEW.digest IS DISTINCT FROM made THEN
    {_refused("'its head only grows'")}
  END IF;
  RETURN NEW;
END
""",  # noqa: S608
}


@dataclass(frozen=True, slots=True)
class _Trigger:
    table: str
    event: str
    kind: int
    function: str


TRIGGERS = {
    "audit_entry_not_updated": _Trigger(
        "audit_auditentry", "BEFORE UPDATE", _BEFORE | _UPDATE | _ROW, "audit_refuse"
    ),
    "audit_entry_not_deleted": _Trigger(
        "audit_auditentry", "BEFORE DELETE", _BEFORE | _DELETE | _ROW, "audit_refuse"
    ),
    "audit_entry_not_truncated": _Trigger(
        "audit_auditentry", "BEFORE TRUNCATE", _BEFORE | _TRUNCATE, "audit_refuse"
    ),
    "audit_entry_only_next": _Trigger(
        "audit_auditentry", "BEFORE INSERT", _BEFORE | _INSERT | _ROW, "audit_entry_is_next"
    ),
    "audit_head_only_grows": _Trigger(
        "audit_audithead", "BEFORE UPDATE", _BEFORE | _UPDATE | _ROW, "audit_head_follows"
    ),
    "audit_head_not_deleted": _Trigger(
        "audit_audithead", "BEFORE DELETE", _BEFORE | _DELETE | _ROW, "audit_refuse"
    ),
    "audit_head_not_truncated": _Trigger(
        "audit_audithead", "BEFORE TRUNCATE", _BEFORE | _TRUNCATE, "audit_refuse"
    ),
    "audit_head_only_one": _Trigger(
        "audit_audithead", "BEFORE INSERT", _BEFORE | _INSERT | _ROW, "audit_head_follows"
    ),
}


def _created(name: str, trigger: _Trigger) -> tuple[str, str]:
    each = "ROW" if trigger.kind & _ROW else "STATEMENT"
    return (
        f"CREATE TRIGGER {name} {trigger.event} ON {trigger.table} "
        f"FOR EACH {each} EXECUTE FUNCTION {trigger.function}()",
        f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {name}",
    )


CREATE = (
    *(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog "
        f"AS $${body}$$"
        for name, body in FUNCTIONS.items()
    ),
    *(statement for name, trigger in TRIGGERS.items() for statement in _created(name, trigger)),
)
NAMES = tuple(TRIGGERS)
DROP = tuple(f"DROP FUNCTION IF EXISTS {name}() CASCADE" for name in FUNCTIONS)

_FOUND = """
SELECT t.tgname, c.relname, t.tgenabled::text, t.tgtype::int, p.proname, p.prosrc,
       l.lanname = 'plpgsql' AND p.proconfig::text = '{search_path=pg_catalog}'
       AND t.tgqual IS NULL AND t.tgnargs = 0 AND t.tgattr::text = ''
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
     JOIN pg_language l ON l.oid = p.prolang
WHERE NOT t.tgisinternal AND c.oid IN (to_regclass('audit_auditentry'), to_regclass('audit_audithead'))
"""
# What stands between a statement, or a reader, and the rows of a table.
_BESIDE = """
SELECT format('%s is not a table any more', v.name)
  FROM (VALUES ('audit_auditentry'), ('audit_audithead')) v(name)
 WHERE NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = to_regclass(v.name) AND c.relkind = 'r')
UNION ALL
SELECT format('the rule %s was added to %s', r.rulename, c.relname)
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
 WHERE c.relkind = 'r' AND c.oid IN (to_regclass('audit_auditentry'), to_regclass('audit_audithead'))
UNION ALL
SELECT format('row-level security hides rows of %s', c.relname) FROM pg_class c
 WHERE c.relrowsecurity AND c.oid IN (to_regclass('audit_auditentry'), to_regclass('audit_audithead'))
UNION ALL
SELECT format('the table %s adds rows to %s', i.inhrelid::regclass, c.relname)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
 WHERE c.oid IN (to_regclass('audit_auditentry'), to_regclass('audit_audithead'))
UNION ALL
SELECT format('the unique index %s was added to %s', i.indexrelid::regclass, c.relname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
 WHERE i.indisunique AND NOT i.indisprimary
   AND c.oid IN (to_regclass('audit_auditentry'), to_regclass('audit_audithead'))
ORDER BY 1
"""
_ENABLED = {
    "D": "is disabled",
    "O": "does not fire in a replica's session",
    "R": "fires in a replica's session only",
}


def faults(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_FOUND)
        there = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(_BESIDE)
        beside = [line for (line,) in cursor.fetchall()]
    found = []
    for name, made in sorted(TRIGGERS.items()):
        if name not in there:
            found.append(f"the trigger {name} is missing")
            continue
        table, enabled, kind, function, body, is_plain = there[name]
        if enabled in _ENABLED:
            found.append(f"the trigger {name} {_ENABLED[enabled]}")
        if (table, kind, function) != (made.table, made.kind, made.function):
            found.append(f"the trigger {name} is another one: it is {kind} on {table} by {function}()")
        elif body != FUNCTIONS[function] or not is_plain:
            found.append(f"the trigger {name} is another one: its body was changed")
    found += [f"the trigger {name} was added to {there[name][0]}" for name in sorted(there.keys() - TRIGGERS)]
    return found + beside

"""What one database alone can be told to do is tested on that one."""

from __future__ import annotations

from django.db import connection

_OTHERS = {"sqlite": "test_triggers_postgresql.py", "postgresql": "test_triggers_sqlite.py"}
collect_ignore = [_OTHERS[connection.vendor]]

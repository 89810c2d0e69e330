"""What writes with statements of its own, once more on PostgreSQL: the same tests, another database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from gdsconsole.env import ROOT
from tests.postgresql import PostgresqlServer

# Every file whose subject is SQL by hand, locking, or a conflict between transactions.
FILES = [
    "tests/audit/test_services.py",
    "tests/audit/test_tampering.py",
    "tests/audit/test_triggers.py",
    "tests/audit/test_triggers_postgresql.py",
    "tests/audit/test_verification.py",
    "tests/pipelines/test_frozen.py",
    "tests/pipelines/test_leases.py",
    "tests/pipelines/test_progress.py",
    "tests/pipelines/test_selectors.py",
    "tests/test_no_address_fails.py",
    "tests/test_odd_input.py",
    "tests/topics/alerting/step",
    "tests/topics/warehouse/test_analytics_step.py",
    "tests/topics/warehouse/test_metrics_command.py",
    "tests/topics/warehouse/test_retention.py",
    "tests/topics/warehouse/test_points.py",
]


@pytest.mark.timeout(900)
def test_the_same_tests_pass_on_postgresql(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    url = postgresql.create_database("console")
    # It starts a Redis of its own; what it publishes before must not keep a connection to this run's.
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reuse-db", *FILES],
        cwd=ROOT,
        env={**environment, "DATABASE_URL": url, "GDS_TEST_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:]
    passed = re.search(r"^(\d+) passed(, \d+ warnings?)? in", done.stdout.splitlines()[-1])
    assert passed, f"some were skipped: {done.stdout[-500:]}"
    # It was this server that they ran on.
    with psycopg.connect(postgresql.url("test_console")) as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations").fetchone() != (0,)

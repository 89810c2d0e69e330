"""`manage.py workers`, as people and liveness probes call it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.core.management.base import CommandError

from gdsconsole.workers import marks
from tests.workers.test_marks import mark

pytestmark = pytest.mark.redis

HERE = socket.gethostname()


def check(*words: str) -> int:
    try:
        call_command("workers", "check", *words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_list_says_who_takes_tasks(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    marks.write(redis_url, mark("default@a", queues=("default", "replay"), at=now))
    marks.write(redis_url, mark("pipelines@b", at=now - 30))
    call_command("workers", "list", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["takes_tasks"]) for row in rows] == [
        ("default@a", True),
        ("pipelines@b", False),
    ]
    call_command("workers", "list")
    assert "silent for 30 s" in capsys.readouterr().out


def test_a_check_is_of_a_queue_and_of_a_host(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    marks.write(redis_url, mark("pipelines@elsewhere", at=time.time()))
    assert check("--queue", "pipelines") == 0
    assert check("--queue", "pipelines", "--queue", "replay") == 1
    assert capsys.readouterr().err.strip() == "no worker takes tasks from replay"
    assert check("--queue", "pipelines", "--here") == 1
    marks.write(redis_url, mark("pipelines@here", host=HERE, at=time.time()))
    assert check("--queue", "pipelines", "--here") == 0


def test_no_worker_is_ended_for_what_redis_refuses(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert check("--queue", "pipelines", "--here") == 0
            assert "Redis takes no writes" in capsys.readouterr().err
            assert check("--queue", "pipelines") == 1
        finally:
            client.config_set("min-replicas-to-write", 0)


def test_without_redis_nothing_is_listed(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="Redis doesn't say which workers there are"):
        call_command("workers", "list")

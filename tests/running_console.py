"""A whole console, started by `manage.py up` as a user would, for tests that look at it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdsconsole.devstack import environment, ports, run_state
from gdsconsole.devstack.kafka_cluster import BrokerPorts
from gdsconsole.env import ROOT

# What a test session, or whoever runs it, has set for its own services.
_FOREIGN = ("KAFKA_", "GDS_", "REDIS_URL", "DATABASE_URL", "SECRET_KEY", "DEBUG", "DJANGO_", "ALLOWED_HOSTS")
_SHARED = ("GDS_CACHE_DIR", "KAFKA_MAVEN_REPOSITORY")


@dataclass(slots=True)
class RunningConsole:
    """`manage` runs a command against it; `users` are the demo users' passwords."""

    data_dir: Path
    port: int
    started: subprocess.CompletedProcess[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def users(self) -> dict[str, str]:
        return environment.read_users(self.data_dir)

    @property
    def environment(self) -> dict[str, str]:
        """Of a terminal in which nothing of the test session is set, but GDS_DATA_DIR."""
        kept = {n: v for n, v in os.environ.items() if n in _SHARED or not n.startswith(_FOREIGN)}
        return {**kept, "GDS_DATA_DIR": str(self.data_dir)}

    def manage(
        self,
        *words: str,
        input: str | bytes | None = None,
        check: bool = True,
        timeout_s: float = 120,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `manage.py WORDS`; with `check`, a failure raises with what the command said."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            input=input.encode() if isinstance(input, str) else input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env={**self.environment, **(environ or {})},
            timeout=timeout_s,
            check=False,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        if check and text.returncode != 0:
            raise AssertionError(
                f"manage.py {' '.join(words)} exited {text.returncode}: {text.stderr}{text.stdout}"
            )
        return text

    def json(self, *words: str, **options: Any) -> Any:
        """What `manage.py WORDS --json` prints, read."""
        return json.loads(self.manage(*words, "--json", **options).stdout)

    def up(self, *words: str, brokers: int = 3, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Start it on ports of its own, without traffic, and return when it is ready."""
        if environment.read_layout(self.data_dir) is None:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            free = ports.free(1 + 3 * brokers)
            each = tuple(BrokerPorts(*free[1 + 3 * n : 4 + 3 * n]) for n in range(brokers))
            environment.keep_layout(self.data_dir, environment.Layout(free[0], each))
        wanted = ["--detach", "--no-traffic", "--port", str(self.port), *words]
        self.started = self.manage("up", *wanted, timeout_s=timeout_s)
        return self.started

    def down(self) -> None:
        """Stop it and assert that nothing of it is left."""
        said = self.manage("down")
        assert not run_state.is_running(self.data_dir), said.stderr
        left = run_state.leftovers(self.data_dir)
        assert left == [], f"still running after `down`: {left}"

    def status(self) -> dict[str, Any]:
        done = self.manage("status", "--json", "--secrets", check=False)
        told: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == told["ready"], done.stdout
        return told

    def state_of(self, part: str) -> run_state.PartState:
        """What the supervisor says of a part now; cheaper than `status`."""
        state = run_state.read(self.data_dir)
        assert state is not None
        return next(one for one in state.parts if one.name == part)

    def pid_of(self, part: str) -> int:
        """The process of redis, kafka-1..3, web, worker-pipelines, worker or beat."""
        pid = self.state_of(part).pid
        assert pid is not None, f"{part} does not run"
        return pid

    def log_of(self, part: str) -> str:
        return (self.data_dir / "logs" / f"{part}.log").read_text(errors="replace")

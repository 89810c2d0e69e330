"""Brings a whole console up, keeps it up, and takes it down in order."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gdsconsole.devstack import environment, jars, java, kafka_cluster, parts, ports, prepared, run_state
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.progress import Progress, Step
from gdsconsole.devstack.supervisor import Supervisor, adopt_orphans

READY_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the caller of `up` asked for."""

    data_dir: Path
    port: int
    brokers: int | None  # None: as many as the data has, 3 at a first start
    traffic: bool
    maven_repository: str
    database: str  # a digest's worth of it: where the rows are
    given: Mapping[str, str]  # the environment without what console.env added


@dataclass(slots=True)
class Console:
    wishes: UpOptions
    progress: Progress
    on_ready: Callable[[], None]
    on_late: Callable[[], None]  # called once, when that takes longer than it should
    supervisor: Supervisor = field(init=False)
    phase: str = field(default="starting", init=False)
    reason: str = field(default="", init=False)
    _stop_asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _stop_fetching: threading.Event = field(default_factory=threading.Event, init=False)
    _first_signal_at: float | None = field(default=None, init=False)
    _written_at: float = field(default=0.0, init=False)
    _told_unwritten: bool = field(default=False, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wishes.port}"

    async def run(self) -> int:
        """Until a signal asks to stop, or the start fails; returns the exit code."""
        data_dir = self.wishes.data_dir
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self.supervisor = Supervisor(data_dir, {}, self.progress.tell, self._write_state)
        self._write_state()
        failure: BaseException | None
        try:
            failure = await self._until_asked_to_stop()
        except Exception as error:
            failure = error  # whatever it is, nothing may be left running
        self.phase = "stopping"
        self._write_state()
        with self.progress.step("everything stopped"):
            await self.supervisor.stop()
        self.phase, self.reason = ("stopped", "") if failure is None else ("failed", str(failure))
        self._write_state()
        if isinstance(failure, CannotStart):
            self.progress.tell(f"up: {failure}")
        elif failure is not None:
            raise failure
        return 0 if failure is None else 1

    async def _until_asked_to_stop(self) -> BaseException | None:
        """Start everything and keep it running; the failure of the start, if there was one."""
        asking = asyncio.create_task(self._stop_asked.wait())
        starting = asyncio.create_task(self._start())
        while not asking.done() and not starting.done():
            await asyncio.wait({asking, starting}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            self.progress.tell_if_quiet()
            self._write_state_now_and_then()
        failure = await self._outcome(starting)
        if failure is not None or asking.done():
            asking.cancel()
            return failure
        self.phase = "ready"
        self._write_state()
        self.on_ready()
        while not asking.done():
            await asyncio.wait({asking}, timeout=run_state.WRITTEN_EVERY_S)
            await asyncio.to_thread(self.supervisor.housekeeping)
            self._write_state()
        return None

    async def _start(self) -> None:
        wishes, progress, data_dir = self.wishes, self.progress, self.wishes.data_dir
        with progress.step("ports and addresses") as step:
            ports.require_free(wishes.port, "the web server", advice="stop it, or choose another: --port P")
            layout = environment.settle_layout(data_dir, brokers=wishes.brokers)
            decided = environment.addresses(layout, data_dir)
            for name in sorted(decided.keys() & wishes.given.keys()):
                if wishes.given[name] != decided[name]:
                    progress.tell(
                        f"         !  {name} of the environment is not used: up starts its own services"
                    )
            remembered = {n: wishes.given[n] for n in environment.REMEMBERED if wishes.given.get(n)}
            environment.keep(data_dir, {**decided, **remembered})
            step.detail = f"Kafka {decided['KAFKA_BOOTSTRAP_SERVERS']}, Redis {layout.redis_port}"
        kept = environment.read_kept(data_dir)
        self.supervisor.environment = {**kept, **wishes.given, **decided, "GDS_DATA_DIR": str(data_dir)}
        brokers = len(layout.brokers)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._redis(layout))
            group.create_task(self._kafka(layout))
            group.create_task(self._prepare(brokers))
        await self._apply_topics(brokers)
        # Beat wakes the pipelines, so it comes when there is something for them to read.
        await self.supervisor.start(parts.beat(directory=data_dir / "beat"))
        if wishes.traffic:
            await self.supervisor.start(parts.traffic())
        with progress.step("every part answers") as step:
            await self._until_ready(step)

    async def _redis(self, layout: environment.Layout) -> None:
        with self.progress.step(f"Redis answers on port {layout.redis_port}"):
            directory = self.wishes.data_dir / "redis"
            spec = parts.redis(port=layout.redis_port, directory=directory, password=layout.redis_password)
            await self.supervisor.start(spec)

    async def _kafka(self, layout: environment.Layout) -> None:
        with self.progress.step("Java") as step:
            found = await asyncio.to_thread(java.ensure, self.wishes.given)
            step.detail = f"{found.version}, {found.executable}"
        with self.progress.step(f"Kafka {jars.KAFKA_VERSION} jars") as step:

            def count(ready: int, of: int) -> None:
                step.detail = f"{ready} of {of} verified"

            directory = jars.cache_directory(self.wishes.given)
            fetched = await asyncio.to_thread(
                lambda: jars.fetch(
                    repository=self.wishes.maven_repository,
                    directory=directory,
                    progress=count,
                    stop=self._stop_fetching,
                )
            )
        cluster = layout.cluster(self.wishes.data_dir)
        with self.progress.step("Kafka's data") as step:
            formatted = await asyncio.to_thread(kafka_cluster.prepare, cluster, java=found, jars=fetched)
            step.detail = "formatted" if formatted else "kept"
        with self.progress.step(f"{len(cluster.ports)} Kafka brokers answer"):
            async with asyncio.TaskGroup() as group:
                for broker_id in cluster.broker_ids:
                    spec = parts.broker(cluster, broker_id, java=found, jars=fetched)
                    group.create_task(self.supervisor.start(spec))

    async def _prepare(self, brokers: int) -> None:
        """Database, demo data and static files, each only where its inputs changed; then what uses them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._database(brokers))
            group.create_task(self._static())
        redis_url = self.supervisor.environment["REDIS_URL"]
        workers = (parts.worker(redis_url=redis_url), parts.pipelines_worker(redis_url=redis_url))
        with self.progress.step("web and workers answer"):
            async with asyncio.TaskGroup() as group:
                for spec in (parts.web(port=self.wishes.port), *workers):
                    group.create_task(self.supervisor.start(spec))

    async def _database(self, brokers: int) -> None:
        wishes = self.wishes
        digest = prepared.code_digest(wishes.database, str(brokers))
        if _is_file_of_sqlite(wishes.database) and prepared.is_done(wishes.data_dir, "database", digest):
            return
        with self.progress.step("database migrated"):
            await self.supervisor.run("migrate", parts.manage("migrate", "--noinput", "--verbosity", "0"))
        with self.progress.step("demo users, topic definitions and alert rules"):
            await self.supervisor.run("seed", parts.manage("seed"))
        prepared.mark_done(wishes.data_dir, "database", digest)

    async def _static(self) -> None:
        digest = prepared.static_digest()
        there = (self.wishes.data_dir / "static").is_dir()
        if there and prepared.is_done(self.wishes.data_dir, "static", digest):
            return
        with self.progress.step("static files"):
            await self.supervisor.run("static", parts.manage("collectstatic", "--noinput", "--clear"))
        prepared.mark_done(self.wishes.data_dir, "static", digest)

    async def _apply_topics(self, brokers: int) -> None:
        """Only where definitions may be new: a start is no moment to undo a change made on purpose."""
        digest = prepared.code_digest(self.wishes.database, str(brokers))
        if prepared.is_done(self.wishes.data_dir, "topics", digest):
            return
        with self.progress.step("topics applied to the cluster"):
            await self.supervisor.run("topics", parts.manage("topics", "apply"))
        prepared.mark_done(self.wishes.data_dir, "topics", digest)

    async def _until_ready(self, step: Step) -> None:
        """For as long as it takes: what is missing is said, and nothing that runs is stopped for it."""
        patient_until = time.monotonic() + READY_TIMEOUT_S
        while True:
            missing = await asyncio.to_thread(not_ready, self.url)
            step.detail = "; ".join(missing)
            if not missing:
                return
            if time.monotonic() > patient_until:
                patient_until = math.inf
                self.progress.tell(
                    f"not every part answers after {READY_TIMEOUT_S:.0f} s: {step.detail} "
                    f"(logs are in {self.wishes.data_dir / 'logs'}); the console stays up and goes on trying"
                )
                self.on_late()
            await asyncio.sleep(0.1 if patient_until < math.inf else 1)

    async def _outcome(self, starting: asyncio.Task[None]) -> BaseException | None:
        """The failure of the start; None when it succeeded or was given up on request."""
        if not starting.done():
            self._stop_fetching.set()
            starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            return None
        except Exception as error:
            self._stop_fetching.set()
            return _first_cause(error)
        return None

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._first_signal_at is None:
            self._first_signal_at = now
            self.progress.tell("stopping; again to kill everything at once")
            self._stop_asked.set()
        elif (
            now - self._first_signal_at > 0.5
        ):  # one Ctrl-C may arrive twice, from the terminal and from make
            self.supervisor.kill_now()

    def _write_state_now_and_then(self) -> None:
        """So that `status` can tell a state of now from one that can't be written any more."""
        if time.monotonic() - self._written_at >= run_state.WRITTEN_EVERY_S:
            self._write_state()

    def _write_state(self) -> None:
        self._written_at = time.monotonic()
        state = run_state.RunState(
            phase=self.phase,
            pid=os.getpid(),
            created=psutil.Process().create_time(),
            url=self.url,
            reason=self.reason,
            parts=self.supervisor.states(),
            written_at=time.time(),
        )
        try:
            run_state.write(self.wishes.data_dir, state)
            self._told_unwritten = False
        except OSError as error:  # a full disk must not end what still runs
            if not self._told_unwritten:
                self._told_unwritten = True
                self.progress.tell(f"the state can't be written to {self.wishes.data_dir}: {error.strerror}")


def not_ready(url: str, *, timeout_s: float = 10.0) -> list[str]:
    """What `/readyz` says is missing, in words; empty when every part answers."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=timeout_s) as reply:  # noqa: S310
            told = json.load(reply)
    except urllib.error.HTTPError as error:
        try:
            told = json.load(error)
        except ValueError:
            return [f"web answers with HTTP {error.code}"]
    except (OSError, ValueError) as error:
        return [f"web does not answer ({error})"]
    return [f"{part['name']}: {part['detail']}" for part in told.get("parts", ()) if not part["ok"]]


def _is_file_of_sqlite(database_url: str) -> bool:
    """True for an SQLite file that exists; a server's database may have been dropped, nobody can tell."""
    path = database_url.removeprefix("sqlite:///")
    return path != database_url and Path(path).is_file()


def _first_cause(error: BaseException) -> BaseException:
    """The error that made the others: a task group wraps it, and cancels the rest."""
    while isinstance(error, BaseExceptionGroup):
        told = [one for one in error.exceptions if not isinstance(one, asyncio.CancelledError)]
        error = next((one for one in told if isinstance(one, CannotStart)), told[0])
    return error

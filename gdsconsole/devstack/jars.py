"""Kafka's jars: fetched once from a Maven repository, each pinned by the SHA-256 in `jars.lock`.

A download goes to a `.part` file, is resumed where the repository allows it, is verified, and only
then takes its name. So a jar that has its name is whole, and an interrupted fetch loses nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gdsconsole.devstack.errors import CannotStart
from gdsconsole.service_addresses import hidden_in, without_password

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("jars.lock")
THREADS = 8
ATTEMPTS = 5
TIMEOUT_S = 30.0
_CHUNK = 1 << 18

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Jar:
    sha256: str
    path: str  # below the repository's root

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class _Mismatch(Exception):
    """The bytes are not the pinned ones."""


def read_lock(text: str) -> list[Jar]:
    """Parse `SHA256  PATH` lines; raise ValueError naming the line that is neither that nor a comment."""
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) != 2 or len(fields[0]) != 64 or ".." in fields[1]:
            raise ValueError(f"jars lock, line {number}: {line!r} is not a SHA-256 and a path")
        jars.append(Jar(sha256=fields[0], path=fields[1]))
    return jars


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where all consoles of this user share their jars: below GDS_CACHE_DIR, or the home's cache."""
    root = Path(environ.get("GDS_CACHE_DIR") or Path.home() / ".cache" / "gdsconsole")
    return root / f"kafka-{KAFKA_VERSION}"


def fetch(
    *,
    repository: str,
    directory: Path,
    jars: Sequence[Jar] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    backoff_s: float = 0.5,
) -> list[Path]:
    """Make every jar of the lock exist in `directory`, verified, and return their paths.

    `progress` is called with (jars ready, jars in all); setting `stop` ends the fetch. Raises
    CannotStart naming the repository when it can't be reached, and the jar when its bytes are not
    the pinned ones.
    """
    wanted = read_lock(LOCK_FILE.read_text()) if jars is None else list(jars)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _only_one_fetcher(directory):
            return _fetch_all(
                repository.rstrip("/"), directory, wanted, progress, stop or threading.Event(), backoff_s
            )
    except OSError as error:
        raise CannotStart(f"cannot keep Kafka's jars in {directory}: {error.strerror or error}") from error


def _fetch_all(
    repository: str,
    directory: Path,
    wanted: list[Jar],
    progress: Progress | None,
    give_up: threading.Event,
    backoff_s: float,
) -> list[Path]:
    ready = 0
    counting = threading.Lock()

    def one(jar: Jar) -> None:
        nonlocal ready
        target = directory / jar.name
        if not (target.is_file() and _sha256(target) == jar.sha256):
            _download(repository, jar, target, give_up, backoff_s)
        with counting:
            ready += 1
            if progress is not None:
                progress(ready, len(wanted))

    with ThreadPoolExecutor(THREADS, thread_name_prefix="jars") as pool:
        futures = [pool.submit(one, jar) for jar in wanted]
        try:
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            give_up.set()
        for future in waiting:
            future.cancel()
        for future in done:
            if not future.cancelled():
                future.result()
    return [directory / jar.name for jar in wanted]


def _download(repository: str, jar: Jar, target: Path, give_up: threading.Event, backoff_s: float) -> None:
    part = target.with_name(target.name + ".part")
    url, shown = f"{repository}/{jar.path}", without_password(repository)
    reason = "stopped"
    mismatches = 0
    for attempt in range(ATTEMPTS):
        if give_up.is_set():
            break
        try:
            _receive(url, part, give_up)
            found = _sha256(part)
            if found != jar.sha256:
                raise _Mismatch(found)
            part.replace(target)
            return
        except _Mismatch as error:
            # Once may be a resume onto a stale part; twice from zero is another file.
            part.unlink(missing_ok=True)
            mismatches += 1
            reason = f"its SHA-256 is {error}, pinned is {jar.sha256}"
            if mismatches == 2:
                raise CannotStart(f"{jar.name} from {shown} is not the pinned file: {reason}") from None
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code in {400, 401, 403, 404, 410}:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            said = str(getattr(error, "reason", None) or error or type(error).__name__)
            reason = hidden_in(said, repository)
        if attempt + 1 < ATTEMPTS:
            # Backoff with jitter, cut short when another jar has failed for good.
            give_up.wait(backoff_s * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311
    raise CannotStart(
        f"cannot fetch {jar.name} from {shown}: {reason} "
        "(set KAFKA_MAVEN_REPOSITORY to a Maven repository this machine reaches)"
    )


def _receive(url: str, part: Path, give_up: threading.Event) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "gdsconsole"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
        resumed = have > 0 and response.status == 206
        expected = response.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as out:
            while chunk := response.read(_CHUNK):
                out.write(chunk)
                received += len(chunk)
                if give_up.is_set():
                    break
        if expected is not None and received != int(expected):
            raise ConnectionError(f"the connection ended after {received} of {expected} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _only_one_fetcher(directory: Path) -> Iterator[None]:
    """Two consoles may share the cache; the second waits and then finds the jars there."""
    with (directory / ".lock").open("w") as lock:
        deadline = time.monotonic() + 600
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield

"""A fetch ends with every jar whole and verified, or with one line that says why not."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gdsconsole.devstack import jars
from gdsconsole.devstack.errors import CannotStart
from gdsconsole.devstack.jars import Jar

CONTENT = bytes(range(256)) * 4096  # 1 MiB
Behaviour = Callable[["Repository", BaseHTTPRequestHandler, int], None]


@dataclass
class Repository:
    """A Maven repository on loopback that misbehaves in the way a test asks for."""

    server: ThreadingHTTPServer
    files: dict[str, bytes] = field(default_factory=dict)
    behave: Behaviour | None = None
    ranges: list[str | None] = field(default_factory=list)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/maven2"

    def has(self, name: str, content: bytes) -> Jar:
        self.files[f"/maven2/org/{name}"] = content
        return Jar(sha256=hashlib.sha256(content).hexdigest(), path=f"org/{name}")


@pytest.fixture
def repository() -> Iterator[Repository]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with made.lock:
                made.requests += 1
                number = made.requests
                made.ranges.append(self.headers.get("Range"))
            if made.behave is not None:
                made.behave(made, self, number)
            else:
                send(made, self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Repository(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


def send(repository: Repository, handler: BaseHTTPRequestHandler, *, only: int | None = None) -> None:
    """Answer as a good repository does, ranges included; stop after `only` bytes of the body."""
    content = repository.files.get(handler.path)
    if content is None:
        handler.send_error(404)
        return
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    body = content[start:]
    handler.send_response(206 if asked else 200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:only] if only is not None else body)


def fetch(repository: Repository, directory: Path, wanted: list[Jar]) -> list[Path]:
    return jars.fetch(repository=repository.url, directory=directory, jars=wanted, backoff_s=0.001)


def test_fetches_all_and_asks_for_nothing_again(repository: Repository, tmp_path: Path) -> None:
    wanted = [repository.has(f"{n}.jar", CONTENT + bytes([n])) for n in range(20)]
    progress: list[tuple[int, int]] = []
    paths = jars.fetch(
        repository=repository.url,
        directory=tmp_path,
        jars=wanted,
        progress=lambda *seen: progress.append(seen),
    )
    assert [path.read_bytes() for path in paths] == [CONTENT + bytes([n]) for n in range(20)]
    assert progress == [(n, 20) for n in range(1, 21)]
    assert repository.requests == 20
    fetch(repository, tmp_path, wanted)
    assert repository.requests == 20


def test_a_cut_connection_is_resumed_where_it_ended(repository: Repository, tmp_path: Path) -> None:
    def cut_once(made: Repository, handler: BaseHTTPRequestHandler, number: int) -> None:
        send(made, handler, only=300_000 if number == 1 else None)

    repository.behave = cut_once
    (path,) = fetch(repository, tmp_path, [repository.has("a.jar", CONTENT)])
    assert path.read_bytes() == CONTENT
    assert repository.ranges == [None, "bytes=300000-"]


def test_a_part_of_an_interrupted_fetch_is_used(repository: Repository, tmp_path: Path) -> None:
    jar = repository.has("a.jar", CONTENT)
    (tmp_path / "a.jar.part").write_bytes(CONTENT[:1000])
    (path,) = fetch(repository, tmp_path, [jar])
    assert path.read_bytes() == CONTENT
    assert repository.ranges == ["bytes=1000-"]


def test_a_stale_part_is_thrown_away(repository: Repository, tmp_path: Path) -> None:
    jar = repository.has("a.jar", CONTENT)
    (tmp_path / "a.jar.part").write_bytes(b"of another version")
    (path,) = fetch(repository, tmp_path, [jar])
    assert path.read_bytes() == CONTENT
    assert repository.ranges[-1] is None


def test_a_repository_without_ranges_sends_it_all_again(repository: Repository, tmp_path: Path) -> None:
    def whole(made: Repository, handler: BaseHTTPRequestHandler, number: int) -> None:
        del handler.headers["Range"]
        send(made, handler)

    repository.behave = whole
    (tmp_path / "a.jar.part").write_bytes(CONTENT[:1000])
    (path,) = fetch(repository, tmp_path, [repository.has("a.jar", CONTENT)])
    assert path.read_bytes() == CONTENT


def test_a_failing_repository_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    def fail_thrice(made: Repository, handler: BaseHTTPRequestHandler, number: int) -> None:
        if number <= 3:
            handler.send_error(503)
        else:
            send(made, handler)

    repository.behave = fail_thrice
    (path,) = fetch(repository, tmp_path, [repository.has("a.jar", CONTENT)])
    assert path.read_bytes() == CONTENT
    assert repository.requests == 4


def test_other_bytes_than_the_pinned_are_refused(repository: Repository, tmp_path: Path) -> None:
    jar = repository.has("a.jar", CONTENT)
    repository.files["/maven2/org/a.jar"] = CONTENT[:-1] + b"x"
    with pytest.raises(CannotStart, match=r"a\.jar from http://127.* is not the pinned file"):
        fetch(repository, tmp_path, [jar])
    assert not (tmp_path / "a.jar").exists()


def test_a_jar_that_changed_on_disk_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    jar = repository.has("a.jar", CONTENT)
    (tmp_path / "a.jar").write_bytes(CONTENT[:-1])
    (path,) = fetch(repository, tmp_path, [jar])
    assert path.read_bytes() == CONTENT


def test_a_missing_jar_is_not_asked_for_again_and_again(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"cannot fetch gone\.jar from .*HTTP 404"):
        fetch(repository, tmp_path, [Jar("0" * 64, "org/gone.jar")])
    assert repository.requests == 1


def test_an_unreachable_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"from http://127\.0\.0\.1:9/maven2: .*KAFKA_MAVEN_REPOSITORY"):
        jars.fetch(
            repository="http://127.0.0.1:9/maven2",
            directory=tmp_path,
            jars=[Jar("0" * 64, f"org/{n}.jar") for n in range(12)],
            backoff_s=0.001,
        )


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"cannot keep Kafka's jars in .*file/cache"):
        jars.fetch(repository="http://127.0.0.1:9", directory=tmp_path / "file" / "cache", jars=[])


def test_the_lock_names_kafka_and_the_agent_once_each() -> None:
    wanted = jars.read_lock(jars.LOCK_FILE.read_text())
    names = [jar.name for jar in wanted]
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in names
    assert "jmx_prometheus_javaagent-1.0.1.jar" in names
    assert len(set(names)) == len(names)


def test_a_wrong_line_of_the_lock_is_named() -> None:
    with pytest.raises(ValueError, match=r"line 2: .abc org/a\.jar."):
        jars.read_lock("# comment\nabc org/a.jar\n")

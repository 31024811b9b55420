"""Fetching jars, from a real HTTP server on this machine that fails as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from labkit.errors import DownloadError
from labkit.lab.download import fetch_jars
from labkit.lab.jar_lock import Jar


class Repository(ThreadingHTTPServer):
    """A Maven repository; `faults` names what goes wrong with a file, once each unless it stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/maven2"


class Handler(BaseHTTPRequestHandler):
    server: Repository
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/maven2/")
        faults = self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else ""
        content = self.server.files.get(path)
        wanted = self.headers["Range"]
        if content is None or fault == "missing":
            self._answer(path, wanted, 404, b"")
        elif fault == "busy":
            self._answer(path, wanted, 503, b"")
        else:
            self._send(path, content, wanted, fault)

    def _send(self, path: str, content: bytes, wanted: str | None, fault: str) -> None:
        if fault == "wrong":
            content = b"x" * len(content)
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and fault != "no ranges" else 0
        if begin >= len(content):
            self._answer(path, wanted, 416, b"")
            return
        body = content[begin:]
        sent = body[: len(body) // 2] if fault == "breaks off" else body
        self._answer(path, wanted, 206 if begin else 200, sent, length=len(body))
        if fault == "breaks off":
            self.close_connection = True

    def _answer(self, path: str, wanted: str | None, status: int, body: bytes, length: int | None = None) -> None:
        self.server.requests.append((path, wanted, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def put(repository: Repository, name: str, content: bytes) -> Jar:
    jar = Jar(f"org.example:{name}:1.0", sha256(content).hexdigest(), len(content))
    repository.files[jar.repository_path] = content
    return jar


def test_all_files_arrive_whole(repository: Repository, tmp_path: Path) -> None:
    jars = [put(repository, f"part-{number}", bytes([number]) * 200_000) for number in range(20)]
    fetch_jars(jars, tmp_path, repository.url)
    assert {jar.file_name: sha256((tmp_path / jar.file_name).read_bytes()).hexdigest() for jar in jars} == {
        jar.file_name: jar.sha256 for jar in jars
    }
    assert not list(tmp_path.glob("*.part"))


def test_what_is_there_is_not_fetched_again(repository: Repository, tmp_path: Path) -> None:
    old, new = put(repository, "old", b"old"), put(repository, "new", b"new")
    (tmp_path / old.file_name).write_bytes(b"old")
    fetch_jars([old, new], tmp_path, repository.url)
    assert [path for path, _, _ in repository.requests] == [new.repository_path]


def test_a_broken_answer_is_taken_up_where_it_broke_off(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "long", bytes(range(256)) * 1000)
    repository.faults[jar.repository_path] = ["breaks off"]
    fetch_jars([jar], tmp_path, repository.url)
    assert [status for _, _, status in repository.requests] == [200, 206]
    assert (tmp_path / jar.file_name).stat().st_size == jar.size


def test_the_part_of_an_earlier_try_is_used(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "long", b"0123456789" * 100)
    (tmp_path / f"{jar.file_name}.part").write_bytes(b"0123456789" * 30)
    fetch_jars([jar], tmp_path, repository.url)
    assert repository.requests == [(jar.repository_path, "bytes=300-", 206)]


def test_a_server_without_ranges_starts_over(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "long", b"0123456789" * 100)
    repository.faults[jar.repository_path] = ["no ranges"]
    (tmp_path / f"{jar.file_name}.part").write_bytes(b"0123456789" * 30)
    fetch_jars([jar], tmp_path, repository.url)
    assert (tmp_path / jar.file_name).read_bytes() == b"0123456789" * 100


@pytest.mark.parametrize("rest", [b"something else" * 10, b"x" * 2000])
def test_a_part_that_does_not_belong_is_thrown_away(repository: Repository, tmp_path: Path, rest: bytes) -> None:
    jar = put(repository, "long", b"0123456789" * 100)
    (tmp_path / f"{jar.file_name}.part").write_bytes(rest)
    fetch_jars([jar], tmp_path, repository.url)
    assert (tmp_path / jar.file_name).read_bytes() == b"0123456789" * 100


def test_a_busy_server_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "wanted", b"content")
    repository.faults[jar.repository_path] = ["busy", "busy"]
    fetch_jars([jar], tmp_path, repository.url)
    assert [status for _, _, status in repository.requests] == [503, 503, 200]


def test_a_file_with_another_hash_is_refused(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "wanted", b"content")
    repository.faults[jar.repository_path] = ["wrong"] * 20
    with pytest.raises(DownloadError, match=r"wanted-1\.0\.jar .* SHA-256"):
        fetch_jars([jar], tmp_path, repository.url)
    assert not list(tmp_path.glob("*.jar*"))


def test_a_file_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    jar = put(repository, "wanted", b"content")
    del repository.files[jar.repository_path]
    with pytest.raises(
        DownloadError, match=r"org\.example:wanted:1\.0 is not in the repository .*LABKIT_JAR_REPOSITORY"
    ):
        fetch_jars([jar], tmp_path, repository.url)


def test_no_network(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        nobody = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(DownloadError, match=r"cannot be reached .*network"):
        fetch_jars([Jar("org.example:wanted:1.0", "00", 7)], tmp_path, nobody)


def test_one_failure_ends_the_others_and_keeps_what_came(repository: Repository, tmp_path: Path) -> None:
    jars = [put(repository, f"good-{number}", b"good") for number in range(4)]
    bad = put(repository, "bad", b"bad")
    del repository.files[bad.repository_path]
    with pytest.raises(DownloadError):
        fetch_jars([*jars, bad], tmp_path, repository.url)
    fetched = [jar for jar in jars if (tmp_path / jar.file_name).exists()]
    repository.files[bad.repository_path] = b"bad"
    repository.requests.clear()
    fetch_jars([*jars, bad], tmp_path, repository.url)
    asked = {path for path, _, _ in repository.requests}
    assert asked.isdisjoint(jar.repository_path for jar in fetched)
    assert all((tmp_path / jar.file_name).exists() for jar in (*jars, bad))

"""Which Redis is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import LabError
from labkit.lab import redis_server
from labkit.lab.redis_server import find_redis


def program(folder: Path, name: str, words: str, status: int = 0) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{words}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all there is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_packaged_one_is_found() -> None:
    binary = find_redis()
    assert binary.name == "Redis"
    assert binary.version >= (6, 2)
    assert "site-packages" in binary.path.parts


def test_a_newer_one_on_path_is_taken(on_path: Path) -> None:
    newer = program(on_path, "valkey-server", "Valkey server v=99.1.0 sha=00000000:0 malloc=jemalloc bits=64")
    binary = find_redis()
    assert (binary.path, str(binary)) == (newer, "Valkey 99.1.0")


@pytest.mark.parametrize(
    ("words", "status"), [("Redis server v=5.0.7 sha=0", 0), ("something else", 0), ("Redis server v=99.0.0", 1)]
)
def test_an_older_or_a_broken_one_is_not_taken(on_path: Path, words: str, status: int) -> None:
    program(on_path, "redis-server", words, status)
    assert find_redis().path.parent != on_path


def test_where_there_is_none_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "PACKAGES", ())
    with pytest.raises(LabError, match="LABKIT_REDIS_URL"):
        find_redis()

"""What programs that were killed have left in Redis, and what may be of another machine."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
import redis

from labkit.dispatch.own_space import delete_own
from labkit.taskqueue import namespace
from labkit.taskqueue.namespace import new_namespace


class Redis(redis.Redis):
    """Keys without a server."""

    kept: set[str]

    def scan_iter(self, match, count):
        return [key.encode() for key in sorted(self.kept) if fnmatch(key, match)]

    def delete(self, key):
        self.kept.discard(key.decode())


@pytest.mark.parametrize(
    ("url", "deletes"),
    [
        ("unix:///tmp/redis.sock", True),
        ("redis://127.0.0.1:6379/0", True),
        ("redis://:secret@[::1]:6379/0", True),
        ("redis://redis.example:6379/0", False),
        ("rediss://10.0.0.7:6379/0", False),
    ],
)
def test_keys_of_an_earlier_boot_are_deleted_where_no_other_machine_comes(monkeypatch, url, deletes):
    machine = namespace._machine()._replace(outlasts_boot=True)
    monkeypatch.setattr(namespace, "_machine", lambda: machine)
    mine, before = f"ann.{new_namespace()}", f"ann.{new_namespace().replace(machine.boot, '0' * 8)}"
    with Redis.from_url(url) as client:
        client.kept = {f"{mine}a", f"{before}b", "ann.c", f"other.{mine}d"}
        delete_own(client, mine)
        assert client.kept == {"ann.c", f"other.{mine}d"} | (set() if deletes else {f"{before}b"})

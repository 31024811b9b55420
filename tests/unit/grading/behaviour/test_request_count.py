"""Requests are counted by their kind, in whatever parts they come."""

from __future__ import annotations

import struct
from collections import Counter

import pytest

from labkit.grading.behaviour.request_count import FETCH, HEARTBEAT, METADATA, RequestCount


def request(key: int, size: int) -> bytes:
    """One of this kind, with so many bytes after the kind."""
    return struct.pack(">ih", 2 + size, key) + bytes(size)


SENT = request(METADATA, 0) + request(FETCH, 3) + request(HEARTBEAT, 100_000) + request(FETCH, 9)


@pytest.mark.parametrize("size", [1, 5, 7, 65_536, len(SENT)])
def test_parts_may_begin_and_end_anywhere(size: int) -> None:
    count = RequestCount()
    take = count.connection()
    for at in range(0, len(SENT), size):
        take(SENT[at : at + size])
    assert count.so_far() == Counter({METADATA: 1, FETCH: 2, HEARTBEAT: 1})


def test_connections_do_not_mix() -> None:
    count = RequestCount()
    one, other = count.connection(), count.connection()
    whole = request(FETCH, 4)
    one(whole[:3])
    other(request(METADATA, 1))
    one(whole[3:])
    assert count.so_far() == Counter({FETCH: 1, METADATA: 1})


def test_what_is_no_request_takes_no_memory() -> None:
    count = RequestCount()
    take = count.connection()
    take(b"GET / HTTP/1.1\r\n" * 1000)
    take(struct.pack(">ih", -1, -1) * 1000)
    assert len(count.so_far()) < 3

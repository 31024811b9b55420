"""How a record is shown on a line."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from labkit.cli.record_command import line_of
from labkit.taskqueue.transport import Record

AT = 1_700_000_000_123


def record(key: bytes | None = b"k", value: bytes | None = b"v", headers=(), at: int = AT) -> Record:
    return Record("t", 1, 17, key, value, headers, at)


def test_a_line_tells_all_of_it():
    headers = (("attempt", b"1"), ("empty", b""))
    line = line_of(record(value=b'{"a": 1}', headers=headers), 200)
    assert re.fullmatch(r'1/17 2023-11-1\d \d\d:\d\d:20\.123 k \{attempt=1, empty=\} \{"a": 1\}', line)


def test_what_there_is_not_is_told_apart_from_what_is_empty():
    assert line_of(record(None, None, at=-1), 80) == "1/17 (no time) (no key) {} (no value)"
    assert line_of(record(b"", b"", at=10**18), 80) == f"1/17 {10**18} ms  {{}} "


def test_no_terminal_obeys_it():
    line = line_of(record(b"a\nb\xff", b"\x1b[2J\x9b\xe2\x80\xae", (("h\r", b"\x07"),), at=-1), 200)
    assert line == r"1/17 (no time) a\nb\xff {h\r=\x07} \x1b[2J\x9b\u202e"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("content", [b"x" * 1_000_000, "漢".encode() * 300_000, b"\xff" * 1_000_000, b"\n" * 1000])
def test_it_is_never_wider_than_it_may_be_and_says_where_it_is_cut(width, content):
    line = line_of(record(content, content, (("h" * 500, content),)), width)
    assert cell_len(line) <= width
    assert line.endswith("…")
    assert line.isprintable()

"""The group's commits from the broker's own log. The bytes are what Kafka 4.4 wrote."""

from __future__ import annotations

import pytest

from labkit.errors import HistoryUnreadable
from labkit.faults import GOING_BACK, check, group_commits
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.transport.contract import Record
from tests.unit.faults.names import names_in

KEY = b"\x00\x01\x00\x0cworker_group\x00\x02hb\x00\x00\x00\x01"
FLEXIBLE = (
    b"\x00\x04\x00\x00\x00\x00\x00\x00\x00_\xff\xff\xff\xff\x1dlabkit1 0 0 eAH7b6oIAAOLAVY="
    b"\x00\x00\x01\xa2\x064\xdd\x80\x01\x00\x10OX\x0fK!2D\x01\xbc(3\xb7\xd7\xa5\xe2{"
)


def record(offset, value, key=KEY):
    return Record("__consumer_offsets", 0, offset, key, value, (), 1500)


def plain(offset, metadata=b""):
    """Version 3, which Kafka wrote from 2.1 on."""
    length = len(metadata).to_bytes(2, "big")
    return b"\x00\x03" + offset.to_bytes(8, "big") + b"\xff\xff\xff\xff" + length + metadata + bytes(8)


def commits(*records):
    return group_commits(records, group="worker_group", topic="hb")


def test_a_commit_has_its_point_and_what_is_finished_beyond_it():
    (commit,) = commits(record(7, FLEXIBLE))
    assert (commit.by, commit.seq, commit.at, commit.partition, commit.offset) == ("the group", 7, 1.5, 1, 95)
    assert commit.beyond == tuple(OffsetMetadata.decode("labkit1 0 0 eAH7b6oIAAOLAVY=", 95).offsets())
    assert commit.beyond


@pytest.mark.parametrize("finished", [(), (6, 8), tuple(range(7, 3000, 2))])
def test_both_versions_are_read(finished):
    text = OffsetMetadata(tuple(range(offset, offset + 1) for offset in finished)).encode(5).encode()
    head = b"\x00\x04" + (5).to_bytes(8, "big") + b"\xff\xff\xff\xff"
    length = len(text) + 1
    varint = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    flexible = head + varint + text + bytes(9)
    (old,), (new,) = commits(record(0, plain(5, text))), commits(record(0, flexible))
    assert old == new
    assert (new.offset, new.beyond) == (5, finished)


def test_other_groups_other_topics_and_members_are_passed_over():
    others = [KEY.replace(b"worker_group", b"worker_horde"), KEY.replace(b"hb", b"hc"), b"\x00\x02\x00\x01g", b""]
    assert commits(*(record(n, FLEXIBLE, key) for n, key in enumerate(others))) == []


def test_when_a_group_was_deleted_another_run_begins():
    assert [commit.offset for commit in commits(record(0, plain(7)), record(1, None), record(2, plain(5)))] == [5]


def test_an_unknown_version_is_told():
    with pytest.raises(HistoryUnreadable, match="version 9"):
        commits(record(0, b"\x00\x09" + bytes(20)))


def test_commits_of_several_workers_have_one_order_here():
    assert names_in(check(commits(record(0, plain(5)), record(1, plain(7))))) == set()
    assert names_in(check(commits(record(0, plain(7)), record(1, plain(5))))) == {GOING_BACK}

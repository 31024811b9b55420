"""What goes with a commit: read as it was written, never longer than the broker takes, not taken from others."""

import random
import zlib
from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import MetadataTooLarge
from labkit.taskqueue.engine.offset_metadata import (
    MAX_METADATA_BYTES,
    MAX_RUNS,
    MetadataLimit,
    OffsetMetadata,
    is_of,
    merged,
)
from labkit.taskqueue.transport.contract import Position, TopicPartition

TOPIC_ID = "1f3a9a0e-6f0a-4b86-9d3e-7a3d2f6f5b1c"


def runs_of(offsets) -> tuple[range, ...]:
    return tuple(merged(range(offset, offset + 1) for offset in offsets))


@given(
    st.sets(st.integers(101, 5000)),
    st.sampled_from(["", TOPIC_ID]),
    st.integers(0, 9),
    st.integers(0, 10**12),
)
def test_it_is_read_as_it_was_written(done, topic_id, starts, alone_until):
    metadata = OffsetMetadata(runs_of(done), topic_id, starts, alone_until)
    assert OffsetMetadata.decode(metadata.encode(100), 100) == metadata
    assert set(metadata.offsets()) == done
    assert all(metadata.is_done(offset) == (offset in done) for offset in range(100, 130))


@pytest.mark.parametrize(("width", "share"), [(30_000, 0.5), (100_000, 0.5), (10_000_000, 0.001), (60_000, 0.9)])
def test_what_does_not_fit_is_forgotten_from_the_far_end(width, share):
    rng = random.Random(1)
    done = {rng.randrange(1, width) for _ in range(int(width * share))}
    text = OffsetMetadata(runs_of(done), TOPIC_ID).encode(0)
    assert MAX_METADATA_BYTES // 2 < len(text.encode()) <= MAX_METADATA_BYTES
    remembered = set(OffsetMetadata.decode(text, 0).offsets())
    assert len(remembered) > 500
    farthest = max(remembered)
    assert remembered == {offset for offset in done if offset <= farthest}


def test_three_million_past_a_slow_task_are_one_run():
    metadata = OffsetMetadata((range(1, 3_000_000),), TOPIC_ID)
    assert len(metadata.encode(0)) < 100
    assert OffsetMetadata.decode(metadata.encode(0), 0) == metadata


def test_more_runs_than_can_fit_are_not_looked_at():
    many = tuple(range(2 * n + 1, 2 * n + 2) for n in range(3 * MAX_RUNS))
    assert OffsetMetadata.decode(OffsetMetadata(many).encode(0), 0).done == many[:MAX_RUNS]


def test_the_bitmap_of_earlier_versions_is_read():
    """Written by labkit 0.1: OffsetMetadata(finished={1, 2, 5, 6, 7, 40}, starts=3, alone_until=90).encode(0)."""
    read = OffsetMetadata.decode("labkit1 3 90 eAErZmBgaAAAAsQA9A==", 0)
    assert read == OffsetMetadata((range(1, 3), range(5, 8), range(40, 41)), "", 3, 90)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a note of somebody else",
        "labkit1 1 2",
        "labkit1 x 0 eA==",
        "labkit1 0 0 %%%%",
        "labkit2 - 0 0",
        "labkit2 - 0 x eJwDAAAAAAE=",
        "labkit2 - 0 0 eJxjYAQAAAMAAg==",  # a run of no length
        "labkit2 - 0 0 eJxjBAAAAgAC",  # one that is cut off
        "labkit3 - 0 0 eJwDAAAAAAE=",
    ],
)
def test_the_metadata_of_others_says_nothing(text):
    assert OffsetMetadata.decode(text, 5) == OffsetMetadata()


@given(st.binary(max_size=60), st.sampled_from(["labkit1 0 0 ", "labkit2 - 0 0 "]))
def test_no_text_whatever_is_an_error(garbage, head):
    for text in (b64encode(zlib.compress(garbage)).decode(), b64encode(garbage).decode(), garbage.decode("latin-1")):
        read = OffsetMetadata.decode(head + text, 5)
        assert all(run.start > 5 for run in read.done)


def test_what_is_not_beyond_the_commit_point_is_refused():
    with pytest.raises(ValueError, match="not beyond the commit point 5"):
        OffsetMetadata((range(5, 6), range(7, 8))).encode(5)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_merged_runs_are_the_same_offsets_in_order_and_apart(given_runs):
    runs = [range(start, start + length) for start, length in given_runs]
    found = merged(runs)
    assert {offset for run in found for offset in run} == {offset for run in runs for offset in run}
    assert all(before.stop < after.start for before, after in pairwise(found))
    assert all(found)


@pytest.mark.parametrize("stated", ["", TOPIC_ID])
@pytest.mark.parametrize(("done", "reach"), [((), 10), ((range(12, 15),), 15)])
def test_what_lies_beyond_the_end_is_not_believed_and_neither_is_another_topic(stated, done, reach):
    position = Position(10, OffsetMetadata(done, stated, 1).encode(10))
    assert [is_of(position, TOPIC_ID, end) for end in (reach - 1, reach, reach + 1, None)] == [False, True, True, True]
    assert is_of(position, "another", reach) is not bool(stated)


@pytest.mark.parametrize("takes", [61, 75, 99, 600])
@pytest.mark.parametrize("runs", [20, 50, 100, 1000])
def test_a_broker_that_takes_little_is_told_the_topic_whatever_it_has_refused_first(takes, runs):
    """Its id alone makes a text of 61 bytes: an offset without one is believed on a topic that was made anew."""
    rng, place, limit, refused = random.Random(1), TopicPartition("t", 0), MetadataLimit(), []
    done = runs_of(rng.sample(range(1, 20 * runs), runs))

    def commit(positions):
        if len(positions[place].metadata) > takes:
            refused.append(len(positions[place].metadata))
            raise MetadataTooLarge

    for known in range(1, len(done) + 1):
        text = OffsetMetadata(done[:known], TOPIC_ID).encode(0)
        if len(text) > takes:
            break
    made = limit.commit(
        commit, lambda: {place: Position(0, OffsetMetadata(done[:known], TOPIC_ID).encode(0, limit.bytes))}
    )
    assert OffsetMetadata.decode(made[place].metadata, 0).topic_id == TOPIC_ID
    assert len(refused) < 20

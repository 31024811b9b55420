"""The commit point and its memo: never ahead of the work, never longer than the broker takes."""

import random
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.taskqueue.engine.offset_tracker import MAX_METADATA_BYTES, OffsetMetadata, OffsetTracker
from labkit.taskqueue.transport.contract import Position


def test_the_commit_point_waits_for_the_oldest_unfinished_task():
    progress = OffsetTracker(10)
    assert all(progress.receive(offset) for offset in (10, 11, 12, 15))
    progress.finish(12)
    progress.finish(11)
    assert (progress.commit_point, progress.head) == (10, 10)
    progress.finish(10)
    assert (progress.commit_point, progress.head) == (13, 15)
    progress.finish(15)
    assert (progress.commit_point, progress.head) == (16, None)


def test_what_is_finished_beyond_the_commit_point_survives_a_restart():
    progress = OffsetTracker(0)
    for offset in range(6):
        progress.receive(offset)
    for offset in (1, 2, 4):
        progress.finish(offset)
    position = progress.position()

    after = OffsetTracker(position.offset, OffsetMetadata.decode(position.metadata, position.offset).finished)
    assert [offset for offset in range(6) if after.receive(offset)] == [0, 3, 5]
    for offset in (0, 3, 5):
        after.finish(offset)
    assert after.commit_point == 6


def test_what_is_known_to_be_finished_moves_the_commit_point_at_once():
    progress = OffsetTracker(3, {1, 3, 4, 7})
    assert progress.commit_point == 5
    assert [offset for offset in range(3, 9) if progress.receive(offset)] == [5, 6, 8]
    assert OffsetMetadata.decode(progress.position().metadata, 5).finished == {7}


def test_a_copy_in_which_more_is_finished_leaves_the_original():
    progress = OffsetTracker(0)
    progress.receive(0)
    assert progress.after([0]).commit_point == 1
    assert progress.commit_point == 0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_at_every_moment_everything_before_the_commit_point_is_finished(gaps, rng):
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    progress, finished = OffsetTracker(0), set()
    for offset in offsets:
        progress.receive(offset)
    for offset in rng.sample(offsets, len(offsets)):
        progress.finish(offset)
        finished.add(offset)
        done_in_a_row = list(takewhile(finished.__contains__, offsets))
        assert progress.commit_point == (done_in_a_row[-1] + 1 if done_in_a_row else 0)
        memo = OffsetMetadata.decode(progress.position().metadata, progress.commit_point)
        assert memo.finished == {o for o in finished if o > progress.commit_point}


@pytest.mark.parametrize(("width", "share"), [(30_000, 0.5), (100_000, 0.5), (100_000, 0.01)])
def test_a_memo_that_does_not_fit_forgets_the_farthest(width, share):
    rng = random.Random(1)
    finished = frozenset(offset for offset in range(1, width) if rng.random() < share)
    text = OffsetMetadata(finished).encode(0)
    assert len(text.encode()) <= MAX_METADATA_BYTES
    remembered = OffsetMetadata.decode(text, 0).finished
    assert remembered <= finished
    assert len(remembered) > 500
    farthest = max(remembered)
    assert remembered == {offset for offset in finished if offset <= farthest}


@given(st.sets(st.integers(101, 5000)), st.integers(0, 9), st.integers(0, 10**12))
def test_a_memo_is_read_as_it_was_written(finished, starts, alone_until):
    memo = OffsetMetadata(frozenset(finished), starts, alone_until)
    assert OffsetMetadata.decode(memo.encode(100), 100) == memo


@pytest.mark.parametrize("text", ["", "a note of somebody else", "labkit1 1 2", "labkit1 x 0 eA==", "labkit1 0 0 %%%%"])
def test_the_metadata_of_others_means_nothing_is_known(text):
    assert OffsetMetadata.decode(text, 5) == OffsetMetadata()


def test_what_is_known_to_be_finished_moves_the_commit_point_before_it_comes_again():
    """A fetch may end before a record that was finished before the restart."""
    progress = OffsetTracker(0, finished=[2, 3, 9])
    for offset in (0, 1):
        progress.receive(offset)
        progress.finish(offset)
    assert progress.commit_point == 4
    assert OffsetMetadata.decode(progress.position().metadata, 4).finished == {9}
    assert not progress.receive(2)


def test_work_that_is_finished_twice_is_finished():
    progress = OffsetTracker(0)
    for offset in (0, 1):
        progress.receive(offset)
        progress.finish(offset)
    progress.finish(0)
    assert progress.position() == Position(2)


def test_a_memo_of_what_is_not_beyond_the_commit_point_is_refused():
    with pytest.raises(ValueError, match="not beyond the commit point 5"):
        OffsetMetadata(frozenset({5, 7})).encode(5)


@given(st.data())
def test_over_restarts_nothing_counts_as_finished_that_is_not(data):
    """Each owner receives a part of what is there, finishes a part of that, and commits."""
    done: set[int] = set()
    committed = Position(0)
    for _ in range(data.draw(st.integers(1, 6))):
        known = OffsetMetadata.decode(committed.metadata, committed.offset).finished
        progress = OffsetTracker(committed.offset, known)
        end = data.draw(st.integers(committed.offset, committed.offset + 40))
        new = [offset for offset in range(committed.offset, end) if progress.receive(offset)]
        assert not done & set(new)
        for offset in data.draw(st.lists(st.sampled_from(new), unique=True)) if new else []:
            progress.finish(offset)
            done.add(offset)
        committed = progress.position()
        said = set(range(committed.offset)) | OffsetMetadata.decode(committed.metadata, committed.offset).finished
        assert said == done

"""The commit point is never ahead of the work, and what is kept is what is in flight."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labkit.taskqueue.engine.offset_metadata import MAX_RUNS, OffsetMetadata
from labkit.taskqueue.engine.offset_tracker import OffsetTracker


def test_the_commit_point_waits_for_the_oldest_unfinished_task():
    tracker = OffsetTracker(10)
    assert all(tracker.receive(offset) for offset in (10, 11, 12, 15))
    tracker.finish(12)
    tracker.finish(11)
    assert (tracker.commit_point, tracker.head) == (10, 10)
    tracker.finish(10)
    assert (tracker.commit_point, tracker.head) == (15, 15)  # 13 and 14 are no records
    tracker.finish(15)
    assert (tracker.commit_point, tracker.head) == (16, None)


def test_what_is_done_beyond_the_commit_point_survives_a_restart():
    tracker = OffsetTracker(0)
    for offset in range(6):
        tracker.receive(offset)
    for offset in (1, 2, 4):
        tracker.finish(offset)
    assert tracker.after() == (0, (range(1, 3), range(4, 5)))

    after = OffsetTracker(*tracker.after())
    assert [offset for offset in range(6) if after.receive(offset)] == [0, 3, 5]
    for offset in (0, 3, 5):
        after.finish(offset)
    assert after.commit_point == 6


def test_what_is_known_to_be_done_moves_the_commit_point_at_once():
    tracker = OffsetTracker(3, [range(1, 2), range(3, 5), range(7, 8)])
    assert tracker.commit_point == 5
    assert [offset for offset in range(3, 9) if tracker.receive(offset)] == [5, 6, 8]
    assert tracker.after() == (5, (range(7, 8),))


def test_what_is_known_to_be_done_moves_the_commit_point_before_it_comes_again():
    """A fetch may end before a record that was done before the restart."""
    tracker = OffsetTracker(0, [range(2, 4), range(9, 10)])
    for offset in (0, 1):
        tracker.receive(offset)
        tracker.finish(offset)
    assert tracker.after() == (4, (range(9, 10),))
    assert not tracker.receive(2)


def test_what_it_will_be_leaves_it_as_it_is():
    tracker = OffsetTracker(0)
    for offset in range(5):
        tracker.receive(offset)
    assert tracker.after([0, 3]) == (1, (range(3, 4),))
    assert tracker.after(range(5)) == (5, ())
    assert tracker.after() == (0, ())


def test_what_is_finished_twice_is_finished():
    tracker = OffsetTracker(0)
    for offset in (0, 1):
        tracker.receive(offset)
        tracker.finish(offset)
    tracker.finish(0)
    assert tracker.after() == (2, ())


def test_a_record_that_comes_again_while_it_is_worked_on_is_not_begun_twice():
    tracker = OffsetTracker(0)
    assert tracker.receive(0)
    assert not tracker.receive(0)


def test_a_log_that_was_cut_off_at_its_beginning_is_gone_on_with():
    tracker = OffsetTracker(5, [range(7, 9)])
    assert tracker.receive(100)
    assert tracker.after() == (100, ())
    empty = OffsetTracker(5, [range(7, 9)])
    assert empty.skip_to(100)
    assert empty.after() == (100, ())


def test_nothing_is_skipped_past_work_in_flight():
    tracker = OffsetTracker(0)
    tracker.receive(0)
    assert not tracker.skip_to(5)
    tracker.finish(0)
    assert tracker.skip_to(5)
    assert not tracker.skip_to(5)
    assert tracker.commit_point == 5


def test_memory_and_the_size_of_a_commit_follow_what_is_in_flight_and_not_what_was_done_past_a_slow_task():
    tracker = OffsetTracker(0)
    tracker.receive(0)
    for offset in range(1, 100_001):
        tracker.receive(offset)
        tracker.finish(offset)
    assert tracker.after() == (0, (range(1, 100_001),))
    assert sys.getsizeof(tracker._incomplete) < 2000
    tracker.finish(0)
    assert tracker.after() == (100_001, ())


def test_a_commit_holds_no_more_runs_than_may_fit():
    tracker = OffsetTracker(0)
    for offset in range(4 * MAX_RUNS):
        tracker.receive(offset)
    for offset in range(1, 4 * MAX_RUNS, 2):
        tracker.finish(offset)
    assert tracker.after() == (0, tuple(range(offset, offset + 1) for offset in range(1, 2 * MAX_RUNS, 2)))


class TrackerMachine(RuleBasedStateMachine):
    """A partition, its workers one after the other, and a model that keeps every single offset."""

    @initialize(first=st.integers(0, 20))
    def begin(self, first):
        self.records: list[int] = []
        self.end = first
        self.done: set[int] = set()
        self.in_flight: list[int] = []
        self.tracker = OffsetTracker(first)
        self.position = first

    @rule(gap=st.sampled_from([0, 0, 0, 1, 4]), count=st.integers(1, 8))
    def produce(self, gap, count):
        """Records come, perhaps behind some offsets that are no records."""
        self.end += gap
        self.records += range(self.end, self.end + count)
        self.end += count

    @rule(count=st.integers(1, 12))
    def receive(self, count):
        for offset in [offset for offset in self.records if offset >= self.position][:count]:
            assert self.tracker.receive(offset) == (offset not in self.done)
            if offset not in self.done:
                self.in_flight.append(offset)
            self.position = offset + 1

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def finish(self, data):
        for offset in data.draw(st.lists(st.sampled_from(self.in_flight), unique=True)):
            self.tracker.finish(offset)
            self.in_flight.remove(offset)
            self.done.add(offset)

    @precondition(lambda self: not self.in_flight)
    @rule()
    def find_nothing_more(self):
        """All was fetched that is there."""
        if not [offset for offset in self.records if offset >= self.position]:
            self.tracker.skip_to(self.end)
            self.position = self.end

    @rule()
    def take_over(self):
        """The worker commits and dies; the next begins with what is committed."""
        commit_point, done = self.tracker.after()
        metadata = OffsetMetadata(done, "id")
        read = OffsetMetadata.decode(metadata.encode(commit_point), commit_point)
        self.tracker = OffsetTracker(commit_point, read.done)
        self.in_flight.clear()
        self.position = commit_point

    @rule()
    def take_back(self):
        """The worker could not commit, and gets the partition back as it was committed long ago."""
        start = min(self.records, default=self.end)
        self.tracker = OffsetTracker(start, self.tracker.done_since(start))
        self.in_flight.clear()
        self.position = start

    @invariant()
    def all_that_counts_as_done_is_done_and_nothing_is_forgotten(self):
        if not hasattr(self, "tracker"):
            return
        commit_point, runs = self.tracker.after()
        assert commit_point == self.tracker.commit_point
        said = {offset for offset in self.records if offset < commit_point or any(offset in run for run in runs)}
        assert said == self.done
        assert self.tracker.head == min(self.in_flight, default=None)
        assert len(self.tracker._incomplete) == len(self.in_flight)
        assert all(run.start > commit_point for run in runs)

    @invariant()
    def what_will_be_is_what_comes(self):
        if getattr(self, "in_flight", None):
            finished = self.in_flight[::2]
            commit_point, runs = self.tracker.after(finished)
            said = {offset for offset in self.records if offset < commit_point or any(offset in run for run in runs)}
            assert said == self.done | set(finished)


TestTracker = TrackerMachine.TestCase
TestTracker.settings = settings(
    max_examples=min(60, settings.default.max_examples), stateful_step_count=30, deadline=None
)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_at_every_moment_everything_before_the_commit_point_is_done(gaps, rng):
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    tracker, done = OffsetTracker(0), set()
    for offset in offsets:
        tracker.receive(offset)
    for offset in rng.sample(offsets, len(offsets)):
        tracker.finish(offset)
        done.add(offset)
        left = [offset for offset in offsets if offset not in done]
        assert tracker.commit_point == (left[0] if left else offsets[-1] + 1)

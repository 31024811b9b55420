"""All partitions that a worker has: adopted, committed and given up together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from labkit.errors import CommitRefused, TransportError, UnknownTopic
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.engine.lost_records import LostRecords
from labkit.taskqueue.engine.offset_metadata import MetadataLimit, is_of
from labkit.taskqueue.engine.partition_state import PartitionState
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, Position, Record, TopicPartition

#: What was finished since the last commit is what a crash repeats. So it is committed when it is so many tasks, …
MANY = 8
#: … or nothing more is in flight, …
#: … or after so many seconds at the latest; …
LONGEST_INTERVAL = 0.2
#: … but at most this often, in seconds, …
MIN_COMMIT_INTERVAL = 0.01
#: … and so seldom that commits take no more than this share of the time, …
COMMIT_SHARE = 0.1
#: … unless that would be less often than this, in seconds.
MAX_COMMIT_INTERVAL = 0.025
#: How long to wait for the topic's id when partitions are assigned, and when they are given up, in seconds.
IDENTITY_TIMEOUT, LEAVE_TIMEOUT = 10.0, 2.0

log = safe_logger("labkit.worker")
_NOT_OF_IT = (
    "What is committed for partition %d of %r is of another topic of that name, or of what the broker has lost."
)


class _Unsaved(NamedTuple):
    """What was done since a commit point, on the topic with this id."""

    topic_id: str
    since: int
    done: list[range]


class AssignedPartitions:
    """The partitions of one topic that are assigned to one worker. `clock` is in seconds and only measures."""

    def __init__(
        self,
        client: ConsumerClient,
        identity: TopicIdentity,
        *,
        suspects: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._identity = identity
        #: the id of the topic whose partitions these are; None as long as there are none
        self.topic_id: str | None = None
        # whether what was held was given up though the client reads on
        self._is_void = False
        self._suspects = suspects
        #: how much the broker takes with a commit
        self.limit = MetadataLimit()
        self._lost = LostRecords(client, self.limit)
        self._clock = clock
        self._held: dict[int, PartitionState] = {}
        self._epochs = count(1)
        # What this worker has done and could not commit when its partitions were taken: the broker was away, or what
        # became of a transaction was open. If it gets them back, it need not do that work again.
        self._unsaved: dict[TopicPartition, _Unsaved] = {}
        # Where this worker has begun and could not say that it left: the start still counts there. It lives, so its own
        # starts must not make one of the tasks suspected.
        self._unclean: dict[TopicPartition, int] = {}
        self._committed_at = clock()
        self._finished = 0
        self._pause = MIN_COMMIT_INTERVAL
        self._waits = False

    @property
    def by_partition(self) -> Mapping[int, PartitionState]:
        """The states by the numbers of their partitions."""
        return self._held

    def get(self, partition: int) -> PartitionState | None:
        """The state of this partition; None if it is not held."""
        return self._held.get(partition)

    def owner(self, item: WorkItem) -> PartitionState | None:
        """The partition of this item as it is held since before it came; None if it is not, or was taken meanwhile."""
        state = self._held.get(item.record.partition)
        return state if state is not None and state.epoch == item.epoch else None

    @property
    def commit_waits(self) -> bool:
        """Whether something is done that the broker did not take, and can be tried again."""
        return self._waits and bool(self._committable())

    def with_waiting(self) -> list[PartitionState]:
        """Those in which tasks wait to be worked on alone."""
        return [state for state in self._held.values() if state.waiting]

    def stopped(self) -> list[TopicPartition]:
        """Those from which nothing more is taken, because a dead letter cannot be written."""
        return [state.place for state in self._held.values() if state.stopped]

    def adopt(self, places: Sequence[TopicPartition]) -> None:
        """These are assigned now: see how far they are done.

        Where nothing is committed for this very topic, the partition is read from its beginning. Raises
        `UnknownTopic`, and `TransportError` if the broker did not answer; then none of them is held.
        """
        self._lost.commit()
        committed = self._client.committed(places)
        topic_id, ends = self._identity.ask(timeout=IDENTITY_TIMEOUT, with_ends=True)
        if topic_id is None:
            raise UnknownTopic(f"There is no topic {places[0].topic!r}.")
        is_void = self._is_void or self.topic_id not in (None, topic_id)
        held = {}
        for place in places:
            found, end = committed[place], ends.get(place.partition)
            if found is not None and not is_of(found, topic_id, end):
                log.warning(_NOT_OF_IT, *place[::-1])
                found = None
                self._unsaved.pop(place, None)
            start = 0 if found is None else found.offset
            # what the client goes by may be of another topic of that name, or from before the last commit
            if is_void or self._client.position(place) != start:
                self._client.seek(place, start)
            held[place.partition] = self._adopt(place, found, topic_id)
        self._held, self.topic_id, self._is_void = held, topic_id, False
        for place in places:
            self._unsaved.pop(place, None)

    def is_same_topic(self) -> bool:
        """Whether the topic is still the one that was adopted, as far as the broker tells in time."""
        try:
            return not self._held or self._identity.ask(timeout=LEAVE_TIMEOUT).topic_id == self.topic_id
        except TransportError:
            return True

    def has_lost(self, ends: Mapping[int, int]) -> bool:
        """Whether one of them ends before what was done when it was adopted; then `abandon` them all."""
        return self._lost.look_at_ends(self._held, ends)

    def are_filled_anew(self, records: Iterable[Record]) -> bool:
        """Whether these are of what fills one anew that has lost its end; then `abandon` them all."""
        return self._lost.look_at_records(self._held, records)

    def begin(self, first: Mapping[int, int]) -> None:
        """Say on the broker that work begins on these partitions, with the first of their records to come.

        Raises `TransportError` if the broker did not answer or refused; then the records have to wait.
        """
        for partition, offset in first.items():
            if not self._held[partition].known:
                self._held[partition].start_at(offset)
        self._announce([self._held[partition] for partition in first if not self._held[partition].alone])

    def begin_alone(self, state: PartitionState) -> None:
        """Say on the broker what is done, and that the next task is begun, alone; raises `TransportError`.

        Without the first, whatever this task does to the worker would be laid to one that is through.
        """
        self._announce([state] if state.alone else [], done=self._committable())

    def end_alone(self) -> None:
        """Say on the broker that what was begun alone is done, before others begin; raises `TransportError`."""
        self._announce([], done=self._committable())

    def skip_gaps(self) -> None:
        """Go past what is no record for anybody, such as the end of a transaction; to call after an empty poll."""
        for state in list(self._held.values()):
            if self._held.get(state.place.partition) is not state:
                continue  # it was taken while the client was asked for another
            position = self._client.position(state.place)
            if not position:
                continue  # it is not known yet, or the partition is empty from its beginning
            if not state.known:
                state.start_at(position)  # whatever was here was given up, or is no longer kept
                state.dirty = True
            elif state.tracker.skip_to(position):
                state.dirty = True

    def finish(self, item: WorkItem) -> bool:
        """This task is done, or among the dead letters; False if its partition is not held as when it came."""
        state = self.owner(item)
        if state is None:
            return False
        state.tracker.finish(item.record.offset)
        state.dirty = True
        self._finished += 1
        return True

    def commit_if_due(self, *, idle: bool) -> None:
        """Commit what is finished, if it is enough or enough time has passed; `idle`: nothing more is in flight."""
        pause = self._pause if idle or self._finished >= MANY else LONGEST_INTERVAL
        if self._clock() - self._committed_at >= pause:
            states = self._committable()
            if states:
                self._commit(states)

    def leave(self) -> None:
        """Commit everything and forget the partitions."""
        known = [state for state in self._held.values() if state.known]
        left = [state for state in known if not state.in_doubt]
        for state in left:
            state.leave()
        is_left = bool(left) and self._commit(left)
        for state in known:
            if is_left and state in left:
                self._unclean.pop(state.place, None)
            else:
                done = state.tracker.done_since(state.saved)
                self._unsaved[state.place] = _Unsaved(state.topic_id, state.saved, done)
        self._held.clear()
        self._lost.leave()

    def abandon(self) -> None:
        """Forget the partitions and all that is known of them: the topic is another now, or it seems so.

        The client is past what it has given out for them; who adopts them next begins where the group has committed.
        """
        self._is_void = True
        self._held.clear()
        self._unsaved.clear()
        self._unclean.clear()

    def _adopt(self, place: TopicPartition, committed: Position | None, topic_id: str) -> PartitionState:
        unsaved = self._unsaved.get(place)
        if unsaved is not None and unsaved.topic_id == topic_id:
            committed = committed or Position(unsaved.since)
        else:
            unsaved = None
        offset = 0 if committed is None else committed.offset
        is_further = unsaved is not None and offset >= unsaved.since  # if not, somebody has set the group back
        return PartitionState(
            place,
            committed,
            topic_id=topic_id,
            epoch=next(self._epochs),
            suspects=self._suspects,
            done=unsaved.done if unsaved is not None and is_further else (),
            begun_before=self._unclean.get(place) == offset,
            limit=self.limit,
        )

    def _committable(self) -> list[PartitionState]:
        return [state for state in self._held.values() if state.dirty and not state.in_doubt]

    def _announce(self, states: Sequence[PartitionState], *, done: Sequence[PartitionState] = ()) -> None:
        """A start counts when the broker has it, and not again if this worker has begun there before."""
        states = [state for state in states if not state.in_doubt]
        if not states and not done:
            return
        # also if the broker does not answer: it may have it nevertheless
        self._unclean |= {state.place: state.tracker.commit_point for state in states}
        positions = self.limit.commit(
            self._client.commit,
            lambda: _positions(done) | {state.place: state.announcement() for state in states},
        )
        for state in states:
            state.announced()
        for state in {*done, *states}:
            state.saved, state.dirty = positions[state.place].offset, False

    def _commit(self, states: Collection[PartitionState]) -> bool:
        """Whether the broker has them now. They need not be held any more when it has answered."""
        taken = False
        started = self._clock()
        try:
            positions = self.limit.commit(self._client.commit, lambda: _positions(states))
            taken = True
            self._waits = False
            for state in states:
                state.saved, state.dirty = positions[state.place].offset, False
        except CommitRefused as error:
            # other workers own them now and will repeat this work: at least once
            log.warning("%s", error)
            for state in states:
                state.dirty = False
        except TransportError as error:
            # it goes with the next one; to say so once is enough
            log.log(logging.INFO if self._waits else logging.WARNING, "The commit has to wait: %s", error)
            self._waits = True
        self._committed_at = self._clock()
        self._finished = 0
        fair = (self._committed_at - started) / COMMIT_SHARE
        self._pause = min(max(MIN_COMMIT_INTERVAL, fair), MAX_COMMIT_INTERVAL)
        return taken


def _positions(states: Collection[PartitionState]) -> dict[TopicPartition, Position]:
    return {state.place: state.position() for state in states}

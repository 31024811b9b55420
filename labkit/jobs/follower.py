"""The follower of the topic of the jobs: whoever holds the store's lock reads the topic into the store, for all.

Should its process stand still, the others read on without the lock: of two that read at once, the store takes one.

`Catalogue` asks the broker which topic it is and where it begins and ends; `TopicReader` reads it from given offsets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from labkit.errors import BadRecord, UnknownTopic
from labkit.jobs.follow_lock import BEAT, HolderWatch
from labkit.jobs.job import JobEvent
from labkit.jobs.store import Store, StoreMoved, TopicId
from labkit.jobs.tables import Placed
from labkit.resource import end_all
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.checks import must_be_open
from labkit.taskqueue.transport.contract import AdminClient, ConsumerClient, ConsumerConfig, Record, TopicPartition

T = TypeVar("T")


class Catalogue:
    """Asks the broker about one topic. Safe to use from several threads. Raises `TransportError` and its subclasses."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._id: TopicId | None = None
        self._closed = False
        self._looking = threading.Lock()
        #: how many looks have begun, and what the last one has found
        self._looks = 0
        self._answer: TopicId | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is known already which topic it is."""
        return self._id is not None

    def id(self) -> TopicId:
        """Which topic it was at the last look; raises `UnknownTopic`."""
        return self._id or self.look()

    def look(self) -> TopicId:
        """Which topic it is now; raises `UnknownTopic`.

        Threads that ask at the same time share an answer to a question that was put after all of them had asked.
        """
        before = self._looks
        with self._looking:
            if self._looks > before and self._answer is not None:
                return self._answer
            self._looks += 1
            self._answer = None  # none if it raises
            found = self._ask(lambda admin, name: admin.topic_ids([name]).get(name))
            if found is None:
                raise UnknownTopic(f"There is no topic {self._topic.name!r}.")
            self._id = self._answer = TopicId(self._topic.full_name, found)
            return self._answer

    def starts(self) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        return self._ask(lambda admin, name: admin.start_offsets(name))

    def ends(self) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return self._ask(lambda admin, name: admin.end_offsets(name))

    def close(self) -> None:
        """Let go of the connection, for good: a question that comes later is refused."""
        with self._lock:
            self._closed = True
            admin, self._admin = self._admin, None
            if admin is not None:
                admin.close()

    def _ask(self, question: Callable[[AdminClient, str], T]) -> T:
        with self._lock:
            must_be_open("client that asks about the topic", closed=self._closed)
            if self._admin is None:
                self._admin = self._topic.transport.admin()
            return question(self._admin, self._topic.full_name)


log = logging.getLogger("labkit.jobs")

#: How many events are added to the store at once, at most.
BATCH = 50_000
#: How many records one poll may bring.
MAX_POLL_RECORDS = 5_000


class EventBatch(NamedTuple):
    """The events between two offsets per partition."""

    events: list[Placed]
    before: Mapping[int, int]
    after: Mapping[int, int]


class TopicReader:
    """Reads on from the offsets `positions`; a partition that is not among them from its beginning.

    Used from one thread at a time. Raises what a consumer raises (`labkit.taskqueue.transport.contract`).
    """

    def __init__(self, topic: Topic, positions: Mapping[int, int]) -> None:
        self._topic = topic
        #: what the store has, by what is known here
        self.positions = dict(positions)
        self._starts: dict[int, int] = {}
        self._consumer: ConsumerClient = topic.transport.consumer(ConsumerConfig(max_poll_records=MAX_POLL_RECORDS))

    def read(self, starts: Mapping[int, int]) -> None:
        """Read these partitions, each from where it was read to or from this offset, whichever comes later."""
        if starts.keys() != self._starts.keys():
            self._starts = {number: max(start, self.positions.get(number, start)) for number, start in starts.items()}
            self._consumer.assign([self._place(number) for number in sorted(self._starts)])
            for number, start in self._starts.items():
                self._consumer.seek(self._place(number), start)

    def poll(self, timeout: float, ends: Mapping[int, int]) -> EventBatch:
        """What has come within `timeout` seconds; while there is more, up to `ends`, some `BATCH` events at once."""
        records = more = self._consumer.poll(timeout)
        while more and len(records) < BATCH and any(end > self._position(number) for number, end in ends.items()):
            records += (more := self._consumer.poll(timeout))
        after = {number: self._position(number) for number in self._starts}
        return EventBatch(_events(records), dict(self.positions), after)

    def took(self, batch: EventBatch) -> None:
        """The batch is in the store."""
        self.positions.update(batch.after)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic.full_name, partition)

    def _position(self, partition: int) -> int:
        known = self._consumer.position(self._place(partition))
        return self._starts[partition] if known is None else max(known, self._starts[partition])


def _events(records: list[Record]) -> list[Placed]:
    events = []
    for record in records:
        try:
            events.append(Placed(record.partition, record.offset, JobEvent.of(record)))
        except BadRecord as error:
            log.warning("%s The view passes it over.", error)
    return events


#: How often to look whether the topic has grown or is another one, and whether the store is, in seconds.
LOOK_AGAIN = 1.0


def look_at_ends(store: Store, ask: Callable[[], dict[int, int]], topic: TopicId) -> dict[int, int]:
    """Where the topic ends now, as `ask` says. A store that goes beyond it is emptied: the broker has lost a disk."""
    positions = store.positions(topic)  # first, since the ends only grow
    ends = ask()
    if any(offset > ends.get(partition, 0) for partition, offset in positions.items()):
        store.reset(topic, at=positions)
    return ends


class Follower:
    """Reads the topic into the store, if no other process does. Used from one thread at a time.

    `measure` gives seconds from any moment.
    """

    def __init__(
        self, topic: Topic, store: Store, catalogue: Catalogue, *, measure: Callable[[], float] = time.monotonic
    ) -> None:
        self._topic = topic
        self._store = store
        self._catalogue = catalogue
        self._measure = measure
        self._lock = store.follow_lock()
        self._watch = HolderWatch(self._lock, measure)
        self._beat_at = measure()
        #: is it read without the lock?
        self._without = False
        self._reader: TopicReader | None = None
        self._reads: TopicId | None = None
        self._ends: dict[int, int] = {}
        self._look_at = measure()

    def step(self, timeout: float) -> bool | None:
        """Take over what comes within `timeout` seconds: whether anything did. None if another process follows.

        Raises `TransportError` and its subclasses, and `StoreFailed`; the next call begins anew.
        """
        try:
            if self._lock.acquire():
                self._without = False
                self._watch.forget()
            elif not self._may_go_without():
                self._drop()
                self._look_again(self._catalogue.look)
                return None
            advanced = self._step(timeout)
            if self._measure() >= self._beat_at:
                self._lock.beat()
                self._beat_at = self._measure() + BEAT
            return advanced
        except BaseException:
            self._drop()
            raise

    def standing_still(self) -> str:
        """Which other process follows and stands still, in a sentence with a space before it; nothing if none does."""
        return self._watch.told()

    def release(self) -> None:
        """Let another process follow."""
        end_all(self._drop, self._lock.release)

    def _may_go_without(self) -> bool:
        """Whether to read without the lock: its holder stands still, and the store is no other topic's."""
        still = self._watch.stands_still()
        if still:
            holds = self._store.origin()
            still = holds is None or holds.name == self._catalogue.id().name
        if still and not self._without:
            log.warning("The view of %s is read without waiting.%s", self._topic.name, self._watch.told())
        self._without = still
        return still

    def _step(self, timeout: float) -> bool:
        try:
            self._look_again(self._check)
            reader = self._reader or self._begin()
            topic = self._reads
            batch = reader.poll(timeout, self._ends)
            if batch.after == batch.before:
                return False
            if topic is None or self._catalogue.look() != topic:
                self._drop()  # ids never come back: what was read before the look is of the topic that it was
                return True
            self._store.add(topic, batch.events, before=batch.before, after=batch.after)
            reader.took(batch)
        except StoreMoved:
            self._drop()
            self._watch.goes_on()
        return True

    def _look_again(self, look: Callable[[], object]) -> None:
        if self._measure() >= self._look_at:
            look()
            self._look_at = self._measure() + LOOK_AGAIN

    def _check(self) -> None:
        """Begin anew if it is another topic or another store; otherwise read the partitions that there are now."""
        topic = self._catalogue.look()
        self._ends = look_at_ends(self._store, self._catalogue.ends, topic)
        reader = self._reader
        if reader is None:
            return
        if topic != self._reads:
            self._drop()
        elif self._store.positions(topic) != reader.positions:
            raise StoreMoved
        else:
            reader.read(self._catalogue.starts())

    def _begin(self) -> TopicReader:
        """Go on where the store is."""
        before = self._store.origin()  # first: a topic that is asked for later is no older than that one
        topic = self._catalogue.look()
        self._store.begin(topic, before=before)
        self._ends = look_at_ends(self._store, self._catalogue.ends, topic)
        self._reads = topic
        self._reader = reader = TopicReader(self._topic, self._store.positions(topic))
        reader.read(self._catalogue.starts())
        return reader

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

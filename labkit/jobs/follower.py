"""Bringing the store up to date: whoever holds its lock reads the topic for all."""

from __future__ import annotations

import time
from collections.abc import Callable

from labkit.jobs.catalogue import Catalogue
from labkit.jobs.reader import Reader
from labkit.jobs.store import Store, StoreMoved, TopicId
from labkit.taskqueue.topics import Topic

#: How often to look whether the topic has grown or is another one, and whether the store is, in seconds.
LOOK_AGAIN = 1.0


def look_at_ends(store: Store, catalogue: Catalogue, topic: TopicId) -> dict[int, int]:
    """Where the topic ends now. A store that goes beyond it is emptied: the broker has lost a disk."""
    positions = store.positions(topic)  # first, since the ends only grow
    ends = catalogue.ends()
    if any(offset > ends.get(partition, 0) for partition, offset in positions.items()):
        store.reset(topic)
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
        self._reader: Reader | None = None
        self._reads: TopicId | None = None
        self._ends: dict[int, int] = {}
        self._look_at = measure()

    def step(self, timeout: float) -> bool | None:
        """Take over what comes within `timeout` seconds: whether anything did. None if another process follows.

        Raises `TransportError` and its subclasses, and `StoreFailed`; the next call begins anew.
        """
        try:
            if not self._lock.acquire():
                self._look_again(self._catalogue.look)
                return None
            return self._step(timeout)
        except BaseException:
            self._drop()
            raise

    def release(self) -> None:
        """Let another process follow."""
        self._drop()
        self._lock.release()

    def _step(self, timeout: float) -> bool:
        self._look_again(self._check)
        topic = self._catalogue.id()
        reader = self._reader or self._begin(topic)
        batch = reader.poll(timeout, self._ends)
        if batch.after == batch.before:
            return False
        try:
            self._store.add(topic, batch.events, before=batch.before, after=batch.after)
            reader.took(batch)
        except StoreMoved:
            self._drop()
        return True

    def _look_again(self, look: Callable[[], object]) -> None:
        if self._measure() >= self._look_at:
            look()
            self._look_at = self._measure() + LOOK_AGAIN

    def _check(self) -> None:
        """Begin anew if it is another topic or another store; otherwise read the partitions that there are now."""
        topic = self._catalogue.look()
        self._ends = look_at_ends(self._store, self._catalogue, topic)
        reader = self._reader
        if reader is not None and (topic != self._reads or self._store.positions(topic) != reader.positions):
            self._drop()
        elif reader is not None:
            reader.read(self._catalogue.starts())

    def _begin(self, topic: TopicId) -> Reader:
        """Go on where the store is."""
        self._store.begin(topic)
        self._ends = look_at_ends(self._store, self._catalogue, topic)
        self._reads = topic
        self._reader = reader = Reader(self._topic, self._store.positions(topic))
        reader.read(self._catalogue.starts())
        return reader

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

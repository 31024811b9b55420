"""What the broker says about the topic of the jobs: which one it is, and where its partitions begin and end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from labkit.jobs.store import TopicId
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import AdminClient

T = TypeVar("T")


class Catalogue:
    """Asks the broker about one topic. Safe to use from several threads. Raises `TransportError` and its subclasses."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._id: TopicId | None = None

    def id(self) -> TopicId:
        """Which topic it was at the last look; raises `UnknownTopic`."""
        return self._id or self.look()

    def look(self) -> TopicId:
        """Which topic it is now; raises `UnknownTopic`."""
        self._id = TopicId(self._topic.full_name, self._ask(lambda admin, name: admin.describe_topic(name)).id)
        return self._id

    def starts(self) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        return self._ask(lambda admin, name: admin.start_offsets(name))

    def ends(self) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        return self._ask(lambda admin, name: admin.end_offsets(name))

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        with self._lock:
            admin, self._admin = self._admin, None
            if admin is not None:
                admin.close()

    def _ask(self, question: Callable[[AdminClient, str], T]) -> T:
        with self._lock:
            if self._admin is None:
                self._admin = self._topic.transport.admin()
            return question(self._admin, self._topic.full_name)

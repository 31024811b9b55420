"""Which topic bears the name now: one may be deleted and made anew while a worker is at it (KIP-516)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from labkit.errors import BrokerUnreachable, TransportError
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport.contract import AdminClient

#: How often it is looked whether the topic is still the same, in seconds, …
INTERVAL = 1.0
#: … when something speaks against it …
SHORT_INTERVAL = 0.05
#: … and when the broker did not answer.
LONG_INTERVAL = 3.0
#: After how long a question counts as one that is not answered any more, in seconds.
LOST_AFTER = 30.0


class Identity(NamedTuple):
    """The id of the topic that bears the name, None if none does; `ends` per partition.

    They are there where they were asked for and the broker has told them; not of a partition without a leader.
    """

    topic_id: str | None
    ends: dict[int, int]


class TopicIdentity:
    """Asks for the id of one topic, over a connection of its own that is there from the first question on.

    Questions are put by a thread, so that nobody waits longer for the broker than he wants to. `clock` is in seconds
    and only measures.
    """

    def __init__(self, topic: Topic, *, clock: Callable[[], float]) -> None:
        self._topic = topic
        self._clock = clock
        self._admin: AdminClient | None = None
        self._question: _Question | None = None
        self._next_at = clock()
        self._is_suspected = False

    def look(self) -> Identity | None:
        """What has been heard since the last look, None if nothing; never waits. Asks again when it is time to."""
        question = self._question
        if question is None:
            if self._clock() >= self._next_at:
                self._put(with_ends=self._is_suspected)
            return None
        if question.done.is_set():
            self._take_back(question)
            if question.error is not None and not isinstance(question.error, TransportError):
                raise question.error
            return question.answer
        if self._clock() - question.put_at > LOST_AFTER:
            self._let_go(question)
        return None

    def suspect(self) -> None:
        """Something speaks for another topic, or one that has lost records: ask soon, and where it ends."""
        self._is_suspected = True
        self._next_at = min(self._next_at, self._clock() + SHORT_INTERVAL)

    def ask(self, *, timeout: float, with_ends: bool = False) -> Identity:
        """The identity now; raises `TransportError`, for one if no answer comes within so many seconds."""
        deadline = self._clock() + timeout
        if self._question is not None and self._question.done.wait(timeout):
            self._take_back(self._question)  # it was asked a while ago
        if self._question is None:
            question = self._put(with_ends=with_ends)
            if question.done.wait(max(0.0, deadline - self._clock())):
                self._take_back(question)
                if question.answer is None:
                    raise question.error or BrokerUnreachable()
                return question.answer
        raise BrokerUnreachable(f"The broker did not tell within {timeout:g} s which topic {self._topic.name!r} is.")

    def close(self) -> None:
        """Let go of the connection."""
        if self._question is not None:
            self._let_go(self._question)
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _put(self, *, with_ends: bool) -> _Question:
        self._question = _Question(self._topic, self._admin, with_ends=with_ends, put_at=self._clock())
        self._admin = None
        self._is_suspected = False
        self._question.begin()
        return self._question

    def _take_back(self, question: _Question) -> None:
        """The question was answered, or never will be."""
        self._question = None
        self._admin = question.admin
        self._next_at = self._clock() + (INTERVAL if question.error is None else LONG_INTERVAL)

    def _let_go(self, question: _Question) -> None:
        """Wait no longer for this one; it closes its connection itself."""
        self._question = None
        self._next_at = self._clock() + LONG_INTERVAL
        question.let_go()


class _Question(threading.Thread):
    """One question to the broker. Its connection may be used by others when it is `done`; None if it has failed."""

    def __init__(self, topic: Topic, admin: AdminClient | None, *, with_ends: bool, put_at: float) -> None:
        super().__init__(name="labkit-topic-identity", daemon=True)
        self.put_at = put_at
        self.admin = admin
        self.answer: Identity | None = None
        self.error: Exception | None = None
        self.done = threading.Event()
        self._topic = topic
        self._with_ends = with_ends
        self._ending = threading.Lock()
        self._is_alone = False

    def begin(self) -> None:
        """Ask on this thread; where there can be no further thread, that is the answer."""
        try:
            self.start()
        except RuntimeError as error:
            self.error = BrokerUnreachable(f"The broker could not be asked, for there are too many threads: {error}.")
            self._close()
            self.done.set()

    def run(self) -> None:
        """Ask, and note the answer."""
        try:
            self.admin = self.admin or self._topic.transport.admin()
            self.answer = self._ask(self.admin)
        except Exception as error:  # noqa: BLE001 - raised again by who asked
            self.error = error
            self._close()  # it may hold a request that nobody will answer
        finally:
            with self._ending:
                if self._is_alone:
                    self._close()
                self.done.set()

    def let_go(self) -> None:
        """Nobody waits for it any more."""
        with self._ending:
            self._is_alone = True
            if self.done.is_set():
                self._close()

    def _ask(self, admin: AdminClient) -> Identity:
        name = self._topic.full_name
        topic_id, ends = admin.topic_ids([name]).get(name), {}
        if topic_id and self._with_ends:
            with suppress(TransportError):  # a leader is gone or about to change: nobody is to wait for that
                ends = admin.end_offsets(name, available_only=True)
        return Identity(topic_id, ends)

    def _close(self) -> None:
        if self.admin is not None:
            self.admin.close()
            self.admin = None

"""The topics of the queues, each as Kafka has it now: one may be deleted, and made anew, while the API runs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from labkit.api.messages.topic_log import TopicLog, find_topic, open_topic
from labkit.errors import TransportError, UnknownQueue, UnknownTopic
from labkit.resource import end_all
from labkit.taskqueue.dead_letter import ensure_dead_topic
from labkit.taskqueue.topics import Topics

log = logging.getLogger("labkit.api")

#: When a topic was looked for so often in vain, one after the other, it is gone, and not about to be made anew.
GONE_AFTER = 2
#: How long a request waits at most to be told whether the topic is still the same, in seconds.
LOOK_TIMEOUT = 5.0


class QueueTopics(Mapping[str, TopicLog]):
    """The topics by the names of their queues. A topic that was made anew is another `TopicLog` under the same name.

    One that is gone stays here as it was, and `living` refuses it. A missing topic is made at the start only: later it
    is missing because somebody has deleted it, who may be about to make it anew.
    """

    def __init__(self, kafka: Topics, names: Sequence[str], *, on_change: Callable[[], object]) -> None:
        self._kafka = kafka
        self._names = names
        self._on_change = on_change
        self._topics: dict[str, TopicLog] = {}
        self._missed: Counter[str] = Counter()
        # one question after the other; the last for each topic is kept
        self._questions: dict[str, Future[TopicLog]] = {}
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="labkit-api-topics")

    def __getitem__(self, name: str) -> TopicLog:
        return self._topics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def __len__(self) -> int:
        return len(self._topics)

    def open(self) -> None:
        """Find the topics, and make those that are missing. Raises `TransportError`."""
        self._topics = {name: open_topic(self._kafka, name) for name in self._names}

    def close(self) -> None:
        """Let go of the connection."""
        end_all(self._asking.shutdown, self._kafka.close)

    def known(self, name: str) -> TopicLog:
        """The topic of this queue as it was seen last; raises `UnknownQueue`."""
        topic = self._topics.get(name)
        if topic is None:
            raise UnknownQueue(f"There is no queue {name!r}; there are {', '.join(self._names)}.")
        return topic

    def living(self, name: str) -> TopicLog:
        """The topic of this queue; raises `UnknownQueue`, and `UnknownTopic` if it is gone."""
        topic = self.known(name)
        if self.is_gone(name):
            raise _gone(name)
        return topic

    def is_gone(self, name: str) -> bool:
        """Whether somebody has deleted the topic of this queue for good."""
        return self._missed[name] >= GONE_AFTER

    async def watch(self, name: str) -> None:
        """Look after a topic; to call again and again. Raises `TransportError`."""
        try:
            await self.look(name)
        except UnknownTopic:
            self._missed[name] += 1
            if self._missed[name] == GONE_AFTER:
                text = "The topic %r of a queue is gone, somebody has deleted it. Made anew, its queue begins anew."
                log.warning(text, name)
                self._on_change()

    async def look(self, name: str) -> TopicLog:
        """See which topic bears the name now, and with how many partitions.

        Raises `TransportError`, for one `UnknownTopic` if there is none.
        """
        found = await asyncio.shield(asyncio.wrap_future(self._question(name)))
        self._missed[name] = 0
        known = self._topics[name]
        if known.id == found.id:
            known.partitions = found.partitions
            return known
        log.warning(
            "The topic %r was made anew: its queue begins anew, and what was left of the old one is void.", name
        )
        self._topics[name] = found
        self._on_change()
        return found

    async def is_same(self, topic: TopicLog) -> bool:
        """Whether this topic still bears its name, as far as Kafka tells in time.

        Raises `UnknownTopic` if none does.
        """
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                return await self.look(topic.name) is topic
        except UnknownTopic:
            raise _gone(topic.name) from None
        except (TransportError, TimeoutError):
            return True

    def _question(self, name: str) -> Future[TopicLog]:
        """One that is put from now on: another's, if that has to wait."""
        question = self._questions.get(name)
        if question is None or question.running() or question.done():
            question = self._questions[name] = self._asking.submit(self._find, self._topics[name])
        return question

    def _find(self, known: TopicLog) -> TopicLog:
        found = find_topic(self._kafka, known.name)
        if found.id != known.id:
            ensure_dead_topic(found.topic)
        return found


def _gone(name: str) -> UnknownTopic:
    return UnknownTopic(
        f"The topic {name!r} of this queue is gone: somebody has deleted it. Make it anew, or start the API again, "
        "which does; then the queue begins anew."
    )

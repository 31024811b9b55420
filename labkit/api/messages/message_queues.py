"""The queues of messages: everything about them but HTTP.

The log of all messages is in Kafka, one topic per queue; who has which message is in Redis, so that any process may
create, give out and acknowledge. docs/message_api.md says what is guaranteed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Self
from uuid import UUID

from labkit.api.messages import lease_scripts
from labkit.api.messages.creation import Creator, Queued
from labkit.api.messages.daemon_thread import on_daemon_thread
from labkit.api.messages.feeder import Feeder, idle_time
from labkit.api.messages.index import Index
from labkit.api.messages.journey import Journey, journey_of
from labkit.api.messages.leases import SEPARATOR, Leases
from labkit.api.messages.long_poll import Bell
from labkit.api.messages.message import Delivery, Message, check_group
from labkit.api.messages.queue_names import MOST_QUEUES, queue_names
from labkit.api.messages.queue_topics import QueueTopics
from labkit.api.messages.record_sender import RecordSender
from labkit.api.messages.redis_client import AsyncScript, ask, asynchronous, close, synchronous
from labkit.api.messages.reservation import Reservations
from labkit.api.messages.topic_log import GROUP_KEPT_MS, QueueBacklog, TopicLog
from labkit.errors import LabkitError, StaleLease, TooManyGroups, UnknownMessage
from labkit.lab.lab import Lab
from labkit.outage import Outage
from labkit.resource import end_all
from labkit.settings import Settings, TransportName
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport

log = logging.getLogger("labkit.api")

#: What sends, whatever `LABKIT_TRANSPORT` says: a request waits for one record, which takes kafka-python three times
#: as long (5 ms against 1.7).
SENDS_BY: TransportName = "confluent-kafka"
#: How often it is looked whether the topics are still the same and have grown, in seconds.
LOOK_INTERVAL = 1.0
#: How long a poll waits for what was queued before it came and is on its way to the queue, in seconds.
CATCH_UP = 5.0
#: After so many seconds without a poll a group holds up senders no more, unless it is the only one.
GONE = 300.0
#: How long its feeders may take to end, all together, in seconds; then they are left behind, and their claims run out.
LEAVE_TIMEOUT = 10.0


class MessageQueues:
    """The queues named by `LABKIT_API_TOPICS`, for one process and one event loop.

    `await start()` first, `await aclose()` at the end, or `async with`. Every call may raise `RedisUnreachable`.
    """

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self._lab = lab
        self._settings = settings
        self._names = queue_names(settings)
        transport = connect_transport(lab.connection, settings.transport)
        kafka = Topics(transport, prefix=settings.topic_prefix)
        self._topics = QueueTopics(kafka, self._names, on_change=self._end_feeders)
        self._client = asynchronous(lab.redis_url)
        self._thread_client = synchronous(lab.redis_url)
        self._lag = AsyncScript(self._client, lease_scripts.LAG)
        self._rest = AsyncScript(self._client, lease_scripts.REST)
        self._bell = Bell(self._client, settings.topic_prefix)
        self._reservations = Reservations(self._client)
        self._index = Index(self._reservations)
        self._leases = Leases(self._client, self._topics, settings)
        self._feeders: dict[tuple[str, str], Feeder] = {}
        self._watching: asyncio.Task[None] | None = None
        before = "groups and partitions are taken to be as before"
        self._outage = Outage(log, "The look after the queues", "Redis or Kafka", meanwhile=before)
        self._suspicion = asyncio.Event()
        self._sender: RecordSender | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the queues."""
        return self._names

    async def start(self) -> None:
        """Make what is missing on the broker and connect. Raises `TransportError`."""
        self._sender = await asyncio.to_thread(self._open)
        self._creator = Creator(
            self._topics, self._reservations, self._sender, self._index, timeout=self._settings.delivery_timeout
        )
        await asyncio.gather(*(self._index.ensure(topic) for topic in self._topics.values()))
        self._bell.start()
        self._watching = asyncio.create_task(self._look_after_topics(), name="topics")

    async def create(self, messages: Sequence[Message], *, on_queued: Queued | None = None) -> list[UUID]:
        """Queue these messages, unless they are queued already, and return when Kafka has them all; ids in order.

        The same message again, in one call or several, here or elsewhere, has the same id and is queued once.
        `on_queued` is told of each queue which positions of its topic were taken, once they count in its backlog.
        Raises `UnknownQueue` and `MessageTooLarge`, and then nothing is done. After `NotAcknowledged`, `UnknownTopic`,
        `DeadlineExceeded`, `IndexLost` or `RedisUnreachable` some may be queued: send the same ones again.
        """
        return await self._creator.create(messages, on_queued)

    async def poll(self, topic: str, group: str, *, wait: float, explicit: bool) -> Delivery | None:
        """The next message of this queue for this group; None if none comes within `wait` seconds.

        Every group gets all messages, each poller of a group others. With `explicit` the message is leased until it is
        acknowledged; otherwise it counts as acknowledged now. What was queued before the call is found, also with
        `wait=0`. Raises `UnknownQueue`, `UnknownTopic`, `BadGroupName` and `TooManyGroups`.
        """
        check_group(group)
        loop = asyncio.get_running_loop()
        came = loop.time()
        line = self._bell.line(f"{topic}{SEPARATOR}{group}")
        while True:
            log_of = self._topics.living(topic)  # it may have been made anew meanwhile
            self._feed(log_of, group)
            heard = line.rings
            found = await self._leases.take(log_of, group)
            if found.more:
                line.ring()
            if found.delivery is not None:
                if explicit:
                    return found.delivery
                if (done := await self._acknowledged(found.delivery)) is not None:
                    return done
                continue
            if found.lost:
                await self._index.build(log_of)
                continue
            left = came + max(wait, CATCH_UP if found.behind else 0.0) - loop.time()
            if left <= 0 or self.are_polls_ended:
                return None
            await line.wait(left, heard=heard)

    @property
    def are_polls_ended(self) -> bool:
        """Does nobody wait for messages any more?"""
        return self._bell.over

    def end_polls(self) -> None:
        """Have those that wait return, now and from now on; what is there is given out as before."""
        self._bell.end_polls()

    async def ack(self, message_id: UUID, token: str) -> None:
        """The message of this delivery is done; twice is no error. Raises `StaleLease` and `UnknownMessage`."""
        await self._leases.ack(message_id, token)

    async def nack(self, message_id: UUID, token: str) -> None:
        """Give the message back to the pollers at once; twice is no error. Raises `StaleLease`, `UnknownMessage`."""
        await self._leases.nack(message_id, token)

    async def journey(self, message_id: UUID) -> Journey | None:
        """What has become of the message so far; None if there is none of that id, or it is too old."""
        for topic in self._topics.values():
            fields = await ask(self._client.hgetall(topic.names.messages + str(message_id)))
            if fields:
                return journey_of(message_id, topic.name, fields)
        return None

    async def lags(self) -> dict[str, int]:
        """Per queue, how many messages are not acknowledged; see `backlogs`."""
        return {name: backlog.lag for name, backlog in (await self.backlogs()).items()}

    async def backlogs(self) -> dict[str, QueueBacklog]:
        """Per queue, how many messages are not acknowledged: by the group that is farthest behind.

        Groups count that have polled within `GONE` seconds, or the last one that has; without any, all that is there.
        Of a topic that is gone nothing is left to do.
        """
        topics = [topic for topic in self._topics.values() if not self._topics.is_gone(topic.name)]
        found = await asyncio.gather(*(self._backlog_of(topic) for topic in topics))
        backlogs = {topic.name: backlog for topic, backlog in zip(topics, found, strict=True)}
        return {name: backlogs.get(name, QueueBacklog()) for name in self._topics}

    async def rest(self, topic: str, *, after: float | None = None) -> int:
        """Free what Redis keeps ready for groups that have not polled for `after` seconds; how many there were.

        A group that comes back reads on where it was. By default it is when no process feeds it any more.
        """
        names, seconds = self._topics.known(topic).names, idle_time(self._settings) if after is None else after
        words = (names.base, round(seconds * 1000), GROUP_KEPT_MS, self._settings.api_deliveries)
        return int(await self._rest([names.log, names.groups], *words))

    async def aclose(self) -> None:
        """End in order. What was leased stays so until its time is over; nothing is lost."""
        async with AsyncExitStack() as ends:  # the last one first, whatever one of them raises
            ends.push_async_callback(close, self._client)
            ends.push_async_callback(on_daemon_thread, self._close)
            ends.push_async_callback(self._index.aclose)
            ends.push_async_callback(self._bell.aclose)
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _open(self) -> RecordSender:
        self._topics.open()
        return RecordSender(connect_transport(self._lab.connection, SENDS_BY), self._settings)

    def _close(self) -> None:
        for feeder in self._feeders.values():
            feeder.stop()
        deadline = time.monotonic() + LEAVE_TIMEOUT
        for feeder in self._feeders.values():
            feeder.join(left_until(deadline))
        if left := ", ".join(group for (_, group), feeder in self._feeders.items() if feeder.alive()):
            log.warning("The feeders for %s did not end within %g s; they are left behind.", left, LEAVE_TIMEOUT)
        ends = [self._thread_client.close, self._topics.close]
        end_all(*ends if self._sender is None else (self._sender.close, *ends))

    def _feed(self, topic: TopicLog, group: str) -> None:
        """See to it that somebody feeds the queue."""
        feeder = self._feeders.get((topic.id, group))
        if feeder is None or not feeder.alive():
            self._feeders = {key: one for key, one in self._feeders.items() if one.alive()}
            if len(self._feeders) >= MOST_QUEUES:
                raise TooManyGroups(
                    f"{MOST_QUEUES} queues are polled by this server already. Use fewer groups, or poll again when "
                    "some have been quiet for a minute or two."
                )
            feeder = Feeder(topic, group, self._thread_client, self._settings, suspect=self._suspect_from_thread())
            self._feeders[topic.id, group] = feeder
            feeder.start()
        feeder.polled()

    async def _acknowledged(self, delivery: Delivery) -> Delivery | None:
        """The delivery without its lease; None if that is over already, so that the message is somebody else's."""
        try:
            await self._leases.ack(delivery.id, delivery.token or "")
        except (StaleLease, UnknownMessage):  # unknown: its topic was made anew just now
            return None
        return replace(delivery, token=None, leased_until=None)

    def _end_feeders(self) -> None:
        """End those of topics that are gone, or another by now."""
        living = {topic.id for topic in self._topics.values() if not self._topics.is_gone(topic.name)}
        for (topic_id, _), feeder in self._feeders.items():
            if topic_id not in living:
                feeder.stop()

    def _suspect_from_thread(self) -> Callable[[], object]:
        """What a feeder may call to have the topics looked at."""
        loop = asyncio.get_running_loop()
        return lambda: loop.call_soon_threadsafe(self._suspicion.set)

    async def _backlog_of(self, topic: TopicLog) -> QueueBacklog:
        names = topic.names
        lag, *ends = await self._lag([names.log, names.groups], names.base, round(GONE * 1000))
        return QueueBacklog(int(lag), dict(zip(ends[::2], ends[1::2], strict=True)))

    async def _look_after_topics(self) -> None:
        """A topic may grow, or be made anew, while this runs, and groups come and go."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._suspicion.wait()
            self._suspicion.clear()
            errors = [error for name in self._names if (error := await self._look_after(name)) is not None]
            if errors:
                self._outage.begins(errors[0])
            else:
                self._outage.ends()

    async def _look_after(self, name: str) -> Exception | None:
        """See to one topic; why that could not be done, and the next look may."""
        try:
            await self.rest(name)
            await self._topics.watch(name)
            if not self._topics.is_gone(name):
                await self._index.ensure(self._topics[name])
        except Exception as error:
            if not isinstance(error, LabkitError) and not self._outage.on:
                log.exception("the topic %s could not be looked after", name)
            return error
        return None

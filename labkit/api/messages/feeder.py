"""The feeder of one queue: it brings the topic's records into Redis, for the pollers of one group.

Every process that is polled has one, and one of them at a time works: a claim in Redis says which. Should two work
for a moment, nothing is fed twice: the records and the place up to which they were read are written in one step.
To Kafka it commits, as the group `api.<group>`, the offset before which everything is acknowledged. So the lag that
Kafka shows is that of the work, and should Redis lose its data, the queue begins again from there.

A feeder feeds one topic in one life (KIP-516). Ids never come back, so what was read before Kafka said that the topic
is still the same is of this topic. When it is another, the feeder ends: what is left of the old one is for nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from uuid import uuid4

import redis

from labkit.api.messages import lease_scripts, placement_scripts
from labkit.api.messages.dead_letter_sender import DeadLetterSender, GivenUp
from labkit.api.messages.leases import SEPARATOR, pack, unpack
from labkit.api.messages.message import decode_message
from labkit.api.messages.redis_client import ThreadScript, Word
from labkit.api.messages.topic_log import GROUP_KEPT_MS, KEPT, TopicLog, bell_channel
from labkit.errors import BadRecord, CommitRefused, LabkitError, UnknownTopic
from labkit.outage import Outage
from labkit.redis_clock import last_at_most
from labkit.redis_state import asked
from labkit.resource import end_all
from labkit.settings import Settings
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata, is_of
from labkit.taskqueue.transport.contract import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    Position,
    Record,
    TopicPartition,
)

log = logging.getLogger("labkit.api")

#: How many messages are kept ready in Redis for each queue: at first, so that a group that polls once leaves little
#: behind, and at most; and how many are brought at once.
FIRST_READY, READY, BATCH = 100, 2000, 500
#: How long a claim lasts without being renewed, and how often it is renewed, in seconds.
CLAIM, RENEWAL = 2.0, 0.25
#: How long one look at the topic waits, in seconds.
LOOK = 0.1
#: After so many seconds without a poll, at the least, this process feeds the queue no more.
IDLE = 60.0
#: How often offsets are committed to Kafka at most, in seconds.
COMMIT_INTERVAL = 1.0

_KEPT_MS = round(KEPT * 1000)


def idle_time(settings: Settings) -> float:
    """After how many seconds without a poll a queue is fed no more."""
    return max(IDLE, 2 * settings.api_lease)


class Feeder:
    """Feeds one queue from a thread of its own until `stop`, or until nobody has polled for a while."""

    def __init__(
        self,
        topic: TopicLog,
        group: str,
        client: redis.Redis,
        settings: Settings,
        *,
        suspect: Callable[[], object],
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        """`suspect` is called, from this feeder's thread, when the topic is another now."""
        self._topic = topic
        self._suspect = suspect
        self._group = group
        self._queue = topic.names.queue(group)
        self._client = client
        self._stop = threading.Event()
        self._dead_letters = DeadLetterSender(topic, group, stop=self._stop, measure=measure)
        self._most = settings.api_deliveries
        self._idle = idle_time(settings)
        self._measure = measure
        self._name = uuid4().hex
        self._bell = (bell_channel(settings.topic_prefix), f"{topic.name}{SEPARATOR}{group}")
        script = partial(ThreadScript, client)
        self._feed, self._begin = script(placement_scripts.FEED), script(placement_scripts.BEGIN)
        self._tend, self._release = script(lease_scripts.TEND), script(lease_scripts.RELEASE)
        self._dead_lettered, self._put_off = script(lease_scripts.DEAD_LETTERED), script(lease_scripts.PUT_OFF)
        self._outage = Outage(
            log, f"The feeder of {topic.name} for {group}", "Redis or Kafka", meanwhile="the messages wait in Kafka"
        )
        self._polled_at = measure()
        self._thread = threading.Thread(target=self._run, name=f"feeder-{topic.name}-{group}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def polled(self) -> None:
        """Somebody polls: go on."""
        self._polled_at = self._measure()

    def alive(self) -> bool:
        """Whether it works, or waits for its turn."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End soon; `join` waits for it."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Return when it has ended, or after so many seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over():
            try:
                if self._claim():
                    self._work()
            except Exception as error:  # whatever it is, the queue is to be fed
                if not isinstance(error, LabkitError) and not self._outage.on:
                    log.exception("%s for %s could not be fed", self._topic.name, self._group)
                self._outage.begins(error)
            self._stop.wait(RENEWAL)
        with suppress(LabkitError):  # the claim runs out then, and the client is left behind
            end_all(self._dead_letters.close, partial(self._release, [self._queue.feeder], self._name))

    def _over(self) -> bool:
        return self._stop.is_set() or self._measure() - self._polled_at > self._idle

    def _claim(self) -> bool:
        with asked("The queue could not be claimed"):
            if self._client.set(self._queue.feeder, self._name, nx=True, px=round(CLAIM * 1000)):
                return True
            last_at_most(self._client, self._queue.feeder, CLAIM)
            return self._client.get(self._queue.feeder) == self._name.encode()  # its answer was lost, or a turn failed

    def _work(self) -> None:
        group = self._topic.topic.full_group(f"api.{self._group}")
        config = ConsumerConfig(group=group, client_id=f"labkit-api-{self._name[:8]}")
        transport = self._topic.topic.transport
        with closing(transport.consumer(config)) as consumer, closing(transport.admin()) as admin:
            turn = _Turn(self, consumer, admin)
            while not self._over() and turn.go_on():
                self._outage.ends()

    def _leave(self) -> None:
        """The topic is another now."""
        self.stop()
        self._suspect()


class _Turn:
    """What a feeder does from when it claims the queue until it lets go."""

    def __init__(self, feeder: Feeder, consumer: ConsumerClient, admin: AdminClient) -> None:
        self._feeder = feeder
        self._consumer = consumer
        self._admin = admin
        self._topic = feeder._topic
        self._reads: list[TopicPartition] = []
        self._ready, self._wanted, self._was_full = 0, FIRST_READY, False
        self._tended_at = self._committed_at = float("-inf")
        self._committed: dict[TopicPartition, Position] = {}

    def go_on(self) -> bool:
        """One round; False if another process feeds the queue, or the topic is another now."""
        feeder = self._feeder
        if len(self._reads) != self._topic.partitions:
            self._take_places()
        if not self._is_ours():
            return False
        if self._ready >= self._wanted:
            self._was_full = True
            feeder._stop.wait(LOOK / 4)
            self._tended_at = float("-inf")  # how many are ready now?
            return True
        records = self._consumer.poll(LOOK, max_records=min(BATCH, self._wanted - self._ready))
        if records and not self._is_same_topic():
            feeder._leave()
            return False
        for place in {TopicPartition(record.topic, record.partition) for record in records}:
            if not self._is_ours():  # what is no message takes its time
                return False
            self._bring(place, [record for record in records if record.partition == place.partition])
        return True

    def _is_ours(self) -> bool:
        """Whether this process still feeds the queue; renews its claim."""
        return self._feeder._measure() - self._tended_at < RENEWAL or self._tend()

    def _take_places(self) -> None:
        """Read on from where Redis says; or, where it knows nothing of the group, from where Kafka does."""
        places = [TopicPartition(self._topic.full_name, number) for number in range(self._topic.partitions)]
        committed = self._consumer.committed(places)
        starts, ends = (ask(self._topic.full_name) for ask in (self._admin.start_offsets, self._admin.end_offsets))
        words: list[Word] = []
        for place in places:
            known, start = committed[place], starts.get(place.partition, 0)
            if known is not None and is_of(known, self._topic.id, ends.get(place.partition)):
                start = max(start, known.offset)
            words += [place.partition, start]
        offsets = self._feeder._begin([], self._feeder._queue.base, GROUP_KEPT_MS, *words)
        self._consumer.assign(places)
        for place, offset in zip(places, offsets, strict=True):
            self._consumer.seek(place, offset)
        self._reads = places

    def _is_same_topic(self) -> bool:
        """Whether what was read until now is of this topic; raises `UnknownTopic` if none bears the name now."""
        name = self._topic.full_name
        found = self._admin.topic_ids([name]).get(name)
        if found is None:
            raise UnknownTopic(f"There is no topic {self._topic.name!r}.")
        return found == self._topic.id

    def _bring(self, place: TopicPartition, records: Sequence[Record]) -> None:
        feeder, names = self._feeder, self._topic.names
        fit: list[tuple[int, str, bytes]] = []
        unfit: list[GivenUp] = []
        for record in records:
            try:
                message_id, _ = decode_message(record)
            except BadRecord as error:
                log.warning("%s It becomes a dead letter.", error)
                unfit.append(GivenUp(record, str(error), 0))
            else:
                fit.append((record.offset, str(message_id), pack(record)))
        put_off = feeder._dead_letters.settle(unfit)  # one that is refused is said; its record stays where it is
        read_on = put_off[0].record.offset if put_off else records[-1].offset + 1
        words = [word for entry in fit if entry[0] < read_on for word in entry]
        head = (feeder._queue.base, names.messages, feeder._group, _KEPT_MS, *feeder._bell, GROUP_KEPT_MS)
        fed = feeder._feed([names.log], *head, place.partition, read_on, *words)
        self._ready += max(0, fed)
        if fed < 0 or put_off:  # Redis has lost its data, or not all of this was brought
            self._reads = []

    def _tend(self) -> bool:
        feeder = self._feeder
        self._tended_at = feeder._measure()
        claim = round(CLAIM * 1000)
        found = feeder._tend(
            [feeder._queue.feeder],
            *(feeder._queue.base, feeder._name, claim, feeder._most, *feeder._bell, GROUP_KEPT_MS),
        )
        if found is None:
            return False
        self._ready, dying, settled = found
        if self._was_full and self._ready < self._wanted / 2:  # its pollers are quick
            self._wanted, self._was_full = min(READY, 2 * self._wanted), False
        self._give_up(dying)
        marks = {int(number): int(offset) for number, offset in zip(settled[::2], settled[1::2], strict=True)}
        self._commit(marks)
        return True

    def _give_up(self, dying: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        if not dying:
            return
        feeder = self._feeder
        given_up = []
        for _, entry, count in dying:
            why = f"It was delivered {int(count)} times and never acknowledged."
            given_up.append(GivenUp(unpack(entry, self._topic.full_name), why, int(count)))
        sent = list(zip(dying, feeder._dead_letters.send(given_up), strict=True))
        written = [message_id for (message_id, *_), is_written in sent if is_written]
        put_off = [message_id for (message_id, *_), is_written in sent if not is_written]
        base = feeder._queue.base
        if put_off:
            feeder._put_off([], base, *put_off)
        if written:
            feeder._dead_lettered([], base, self._topic.names.messages, feeder._group, *written)
            log.warning("%s: %d messages became dead letters of %s", self._topic.name, len(written), feeder._group)

    def _commit(self, marks: Mapping[int, int]) -> None:
        if self._feeder._measure() - self._committed_at < COMMIT_INTERVAL:
            return
        self._committed_at = self._feeder._measure()
        positions = {
            TopicPartition(self._topic.full_name, number): Position(
                offset, OffsetMetadata(topic_id=self._topic.id).encode(offset)
            )
            for number, offset in marks.items()
        }
        if positions == self._committed or not self._is_same_topic():
            return
        try:
            self._consumer.commit(positions)
        except CommitRefused as error:
            log.warning("%s: %s", self._topic.name, error)
        self._committed = positions

"""The overrides of kombu's private parts: a worker takes a message in one step, so that none is lost when it dies.

kombu takes in two: BRPOP removes a message from its list, and when the answer has come, the worker notes it among the
unacknowledged. A worker or a Redis that is killed in between loses it. Here one script does both. Since no script can
wait for a message, whoever finds none waits for a bell: a sorted set with one entry, which is rung after each send.
One that sends by kombu's own transport does not ring; its messages are found within a second.

A Redis that answers, but takes no changes, is no lost connection: the worker asks again after a pause. What it has done
with a message and Redis has not been told is kept in mind, also beyond the connection, and told as soon as that works.
kombu forgets it: then the message comes again, and the worker takes one message less for ever.

They were made for the version in `MADE_FOR`: a test fails with another, so that what has changed there is read first.
"""
# mypy: allow-untyped-calls, disable-error-code="assignment"
# kombu has types, but not everywhere

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis import exceptions

from labkit.celery_app.kombu_client import PrefixedClient, RedisAway
from labkit.celery_app.message_headers import FIRST
from labkit.celery_app.message_scripts import BELL, DUE, MOST_DUE, MOST_UNREADABLE, SETTLE, TAKE, UNREADABLE, Pushes
from labkit.celery_app.unsettled_messages import Disposition, UnsettledMessages
from labkit.logs.safe_logger import safe_logger
from labkit.redis_state import ANSWER_TIMEOUT, Refusals, is_replica

#: The version of the distribution whose private parts are used here.
MADE_FOR = {"kombu": "5.7.0"}

#: The name of this transport, in place of kombu's "redis".
TRANSPORT = "labkit"
TRANSPORT_ALIASES[TRANSPORT] = f"{__name__}:LabkitTransport"

log = safe_logger("labkit.celery")
refusals = Refusals(log)

#: How long to wait before a Redis that has refused is asked for a message again, in seconds; and for how long messages
#: of dead workers are put back at a time: less than a worker has them to itself (`MOST_DUE`).
ASK_AGAIN, RESTORE_TIME = 0.5, 2.0


class _QoS(redis.QoS):
    """What is unacknowledged; what was taken by the script is noted in Redis already."""

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Put back what workers that are gone had taken, by the clock of Redis; later, where it is full."""
        self.settle()
        if self.channel.unsettled or self.channel.is_away():
            return
        began = monotonic()
        try:
            due = self.channel.evaluate(DUE, [self.unacked_index_key], self.visibility_timeout, *MOST_DUE)
            for tag in reversed(due):  # the oldest last, so that it stands before the others
                if monotonic() - began >= RESTORE_TIME:
                    return
                self.restore_by_tag(bytes_to_str(tag))
        except exceptions.RedisError as error:
            refusals.hear(error, "What dead workers had could not be put back", "what dead workers had stays with them")

    def append(self, message: Any, delivery_tag: str) -> None:
        if delivery_tag == self.channel.taken:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """The message is done, and its place free for another one."""
        self.reject(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message is done, or it comes again. Redis is told as soon as it listens."""
        again = Disposition.RELEASED if self.channel.is_ending() else Disposition.REQUEUED
        self.channel.unsettled.add(delivery_tag, again if requeue else Disposition.DONE)
        if delivery_tag in self._delivered:  # one that was left out has no place to be freed
            virtual.QoS.ack(self, delivery_tag)
        self.settle()

    def settle(self) -> None:
        """Tell Redis what it has not been told; what it does not take now, later, also over another channel."""
        if self.channel.connection is not None and not self.channel.is_away():
            self.channel.unsettled.settle(self._tell)

    def _tell(self, tag: str, disposition: Disposition) -> None:
        if disposition is Disposition.DONE:
            self.channel.settle(tag)
        else:
            self.restore_by_tag(tag, leftmost=disposition is Disposition.REQUEUED)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back what was taken and is not done, each to its place before what came later; where Redis does not take
        it, its visibility time-out does that.
        """
        for tag in reversed(self._delivered):
            self.channel.unsettled.add(tag, Disposition.RELEASED)
        self._delivered.clear()
        self.settle()

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back to the front of its level, where it was, or if `leftmost` to the end. kombu's transaction
        would be tried again without end where Redis is full.
        """
        with self.channel.conn_or_acquire(client) as client:
            noted = client.hget(self.unacked_key, tag)
        pushes = Pushes()
        try:
            message = loads(bytes_to_str(noted)) if noted else ()
        except (ValueError, TypeError, RecursionError):  # as of a worker that has died before it could see that
            log.exception("what was taken under the tag %r was dropped: it cannot be read", tag)
            self.channel.settle(tag, noted)
            return
        if message:
            self.channel._do_restore_message(*message, pushes, leftmost)
        if pushes or not message:  # else kombu has said why it cannot be put back
            self.channel.settle(tag, noted or b"", pushes)


class _PublishBatch(redis.PublishBatch):
    """Messages that are sent together; the bell rings once, after the last."""

    def flush(self) -> None:
        if self._buffered:
            self.channel.ring(self.pipeline)
        super().flush()


class Channel(redis.Channel):
    """kombu's channel, but for how messages are taken. `taken` is the tag of the message that just came."""

    from_transport_options = (*redis.Channel.from_transport_options, "is_away", "is_ending", "unsettled")
    QoS = _QoS
    socket_timeout = ANSWER_TIMEOUT
    taken: str | None = None
    _waits = False
    _ask_at = 0.0
    #: whether it is known already that Redis is away: then nothing that can wait is asked, and its time-out waited for
    is_away: Callable[[], bool] = staticmethod(lambda: False)
    #: whether its worker is to end: then what it rejects has not failed, and others have it next
    is_ending: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.unsettled = UnsettledMessages()  # unless the transport's options have one for all channels
        super().__init__(*arguments, **options)

    def _get_client(self) -> Callable[..., PrefixedClient]:
        return partial(PrefixedClient, global_keyprefix=self.global_keyprefix)

    def ring(self, client: Any = None) -> None:
        """Wake who waits for a message; raises `RedisAway` where Redis takes no changes."""
        with self.conn_or_acquire(client) as client:
            client.zadd(BELL, {"": 0})

    def leave_out(self, tags: Iterable[str]) -> None:
        """These take no place, and are not put back when the channel is closed; they can still be acknowledged."""
        self.taken = None  # who leaves out what just came acknowledges it later
        for tag in tags:
            self.qos._delivered.pop(tag, None)

    def create_publish_batch(self, max_size: int) -> _PublishBatch:
        """A batch whose end is heard."""
        return _PublishBatch(self, max_size)

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        if options.get("_publish_batch") is not None:
            super()._put(queue, message, **options)
            return
        level = self._get_message_priority(message, reverse=False)
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            push = pipe.rpush if message.get("headers", {}).get(FIRST) else pipe.lpush
            push(self._q_for_pri(queue, level), dumps(message))
            self.ring(pipe)
            pipe.execute()
        self._maybe_update_queues_expire(client, queue)

    def _size(self, queue: str) -> int:
        """How many messages wait; 0 where that cannot be counted, since a worker that begins asks for it."""
        try:
            return int(super()._size(queue))
        except exceptions.ResponseError as error:
            refusals.hear(error, f"The queue could not be counted at {self.global_keyprefix}*", "it counts as empty")
            return 0

    def settle(self, tag: str, noted: bytes | None = None, pushes: Sequence[tuple[str, str, str]] = ()) -> None:
        """Note no more that this message is taken; if `noted`, only where that is what is noted, and push it."""
        keys = [self.unacked_key, self.unacked_index_key, BELL, *(key for _, key, _ in pushes)]
        values = [] if noted is None else [noted, *(how for how, _, _ in pushes[:1]), *(one for _, _, one in pushes)]
        self.evaluate(SETTLE, keys, tag, *values)

    def evaluate(self, script: str, keys: Sequence[str], *values: Any) -> Any:
        """What this script answers."""
        with self.conn_or_acquire() as client:
            return client.execute_command("EVAL", script, len(keys), *map(self.global_keyprefix.__add__, keys), *values)

    def close(self) -> None:
        """Close the channel, without the answer for which it waits if there will be none."""
        if self._in_poll and self.is_away():
            self.client.connection.disconnect()
        super().close()

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for a message, or where there was none just now, for the bell."""
        if self.unsettled or self.is_away() or monotonic() < self._ask_at:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = connection = self.client.connection
        self._brpop_sent_at = monotonic()
        prefix = self.global_keyprefix
        if self._waits:
            connection.send_command("BZPOPMIN", prefix + BELL, timeout or self.brpop_timeout)
            return
        levels = [self._q_for_pri(queue, level) for level in self.priority_steps for queue in queues]
        keys = [prefix + key for key in (self.unacked_key, self.unacked_index_key, BELL, UNREADABLE, *levels)]
        connection.send_command("EVAL", TAKE, len(keys), *keys, MOST_UNREADABLE)

    def _brpop_read(self, **options: Any) -> bool:
        waited, self._waits = self._waits, False
        try:
            answer = self._answer(**options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if waited:
            raise Empty
        if not answer:
            self._waits = True
            raise Empty
        key, *rest = answer
        queue = bytes_to_str(key).removeprefix(self.global_keyprefix).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        if not rest:
            log.error("what stood in the queue %r and is no message was put aside, to the list %r", queue, UNREADABLE)
            raise Empty
        message, tag = rest
        self.taken = bytes_to_str(tag)
        try:
            self.connection._deliver(loads(bytes_to_str(message)), queue)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # before it is a message to anybody
            log.exception("a message in the queue %r was dropped: it cannot be read", queue)
        if self.taken is not None and self.taken not in self.qos._delivered:
            # its consumer acknowledges nothing, as those of Celery's remote control
            self.qos.ack(self.taken)
        return True

    def _answer(self, **options: Any) -> Any:
        """What Redis answered; after an error the next turn connects again, and after a refusal it asks again."""
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, "TAKE", **options)
        except (RedisAway, exceptions.ResponseError) as error:
            refusals.hear(error, f"No message could be taken at {self.global_keyprefix}*", "no task is taken from it")
            self._ask_at = monotonic() + ASK_AGAIN
            if is_replica(error.__cause__ or error):  # at its address there may be another one by now
                connection.disconnect()
            raise Empty from None
        except self.connection_errors:
            connection.disconnect()
            raise


class LabkitTransport(redis.Transport):
    """kombu's transport over Redis with this channel."""

    Channel = Channel

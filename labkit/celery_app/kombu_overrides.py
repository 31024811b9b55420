"""The overrides of kombu's private parts: a worker takes a message in one step, so that none is lost when it dies.

kombu takes in two: BRPOP removes a message from its list, and when the answer has come, the worker notes it among the
unacknowledged. A worker or a Redis that is killed in between loses it. Here one script does both. Since no script can
wait for a message, whoever finds none waits for a bell: a sorted set with one entry, which is rung after each send.
One that sends by kombu's own transport does not ring; its messages are found within a second.

The overrides were made for the version in `MADE_FOR`. A test fails when another is installed: then whoever moves it
reads what has changed there first.
"""
# mypy: allow-untyped-calls, disable-error-code="assignment"
# kombu has types, but not everywhere

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis import exceptions

from labkit.logs.safe_logger import safe_logger
from labkit.redis_state import is_away, state_of

#: The version of the distribution whose private parts are used here.
MADE_FOR = {"kombu": "5.7.0"}

#: The name of this transport, in place of kombu's "redis".
TRANSPORT = "labkit"

TRANSPORT_ALIASES[TRANSPORT] = f"{__name__}:LabkitTransport"

log = safe_logger("labkit.celery")

#: The name of the bell, after the prefix.
BELL = "bell"

#: The list of what stood in the queue and is no message, after the prefix, and how much of it is kept.
UNREADABLE, MOST_UNREADABLE = "unreadable", 1000

# KEYS: unacked, unacked_index, bell, unreadable, the levels in their order. ARGV: now, in seconds; how many are kept
# that are no messages. What is noted is what `kombu.transport.redis.QoS.append` would note. The bell rings on for who
# else waits. What is no message is put aside, and the answer has one part only.
_TAKE = """
local function read(message)
  local properties = cjson.decode(message).properties
  local place = properties.delivery_info
  return properties.delivery_tag .. '', ',' .. cjson.encode(place.exchange) .. ',' .. cjson.encode(place.routing_key)
end
for index = 5, #KEYS do
  local message = redis.call('LINDEX', KEYS[index], -1)
  if message then
    local is_message, tag, names = pcall(read, message)
    if not is_message then
      redis.call('LPUSH', KEYS[4], redis.call('RPOP', KEYS[index]))
      redis.call('LTRIM', KEYS[4], 0, ARGV[2] - 1)
      return {KEYS[index]}
    end
    redis.call('RPOP', KEYS[index])
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[1], tag, '[' .. message .. names .. ']')
    for further = index, #KEYS do
      if redis.call('EXISTS', KEYS[further]) == 1 then
        redis.call('ZADD', KEYS[3], 0, '')
        return {KEYS[index], message}
      end
    end
    redis.call('DEL', KEYS[3])
    return {KEYS[index], message}
  end
end
redis.call('DEL', KEYS[3])
return false
"""


class _QoS(redis.QoS):
    """What is unacknowledged; what was taken by the script is noted in Redis already."""

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """Put back what a worker that is gone had taken; later, where Redis is full, which keeps nothing else back."""
        with suppress(RedisAway):  # the worker's presence says so
            super().restore_visible(*arguments, **options)

    def append(self, message: Any, delivery_tag: str) -> None:
        if delivery_tag == self.channel.taken:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)


class _PublishBatch(redis.PublishBatch):
    """Messages that are sent together; the bell rings once, after the last."""

    def flush(self) -> None:
        if self._buffered:
            self.channel.ring(self.pipeline)
        super().flush()


class RedisAway(exceptions.ConnectionError):
    """Redis has answered that it can do nothing now: to kombu and Celery the same as a connection that is lost."""


@contextmanager
def _told_as_lost() -> Iterator[None]:
    """Inside, an answer that Redis is full, read-only or busy is `RedisAway`; kombu takes it for a mistake of ours, and
    a worker of Celery's ends with it.
    """
    try:
        yield
    except exceptions.ResponseError as error:
        if not is_away(error) or isinstance(error, exceptions.NoScriptError):  # redis-py itself brings the script
            raise
        raise RedisAway(f"Redis {state_of(error)}: {error}") from error


class _Client(redis.PrefixedStrictRedis):
    """kombu's client, which tells of a Redis that is away in one way."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        with _told_as_lost():
            return super().execute_command(*arguments, **options)

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        with _told_as_lost():
            return super().parse_response(connection, command_name, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> _Pipeline:
        return _Pipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            global_keyprefix=self.global_keyprefix,
        )


class _Pipeline(redis.PrefixedRedisPipeline):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        with _told_as_lost():
            return super().parse_response(connection, command_name, **options)

    def execute(self, raise_on_error: bool = True) -> Any:
        with _told_as_lost():
            return super().execute(raise_on_error)


class Channel(redis.Channel):
    """kombu's channel, but for how messages are taken. `taken` is the tag of the message that came last."""

    QoS = _QoS
    taken: str | None = None
    _waits = False

    def _get_client(self) -> Callable[..., _Client]:
        return partial(_Client, global_keyprefix=self.global_keyprefix)

    def ring(self, client: Any) -> None:
        """Wake who waits for a message."""
        client.zadd(BELL, {"": 0})

    def create_publish_batch(self, max_size: int) -> _PublishBatch:
        """A batch whose end is heard."""
        return _PublishBatch(self, max_size)

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        if options.get("_publish_batch") is not None:
            super()._put(queue, message, **options)
            return
        level = self._get_message_priority(message, reverse=False)
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            pipe.lpush(self._q_for_pri(queue, level), dumps(message))
            self.ring(pipe)
            pipe.execute()
        self._maybe_update_queues_expire(client, queue)

    def _do_restore_message(
        self, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)
        self.ring(pipe)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for a message, or where there was none just now, for the bell."""
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
        connection.send_command("EVAL", _TAKE, len(keys), *keys, time(), MOST_UNREADABLE)

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
        payload = loads(bytes_to_str(rest[0]))
        self.taken = payload["properties"]["delivery_tag"]
        try:
            self.connection._deliver(payload, queue)
        except (ValueError, KeyError, TypeError, AttributeError):  # before it is a message to anybody
            log.exception("a message in the queue %r was dropped: it cannot be read", queue)
        if self.taken not in self.qos._delivered:
            # its consumer acknowledges nothing, as those of Celery's remote control
            self.qos._remove_from_indices(self.taken).execute()
        return True

    def _answer(self, **options: Any) -> Any:
        """What Redis answered; after an error the next turn connects again."""
        connection = self.client.connection
        try:
            return self.client.parse_response(connection, "TAKE", **options)
        except self.connection_errors:
            connection.disconnect()
            raise


class LabkitTransport(redis.Transport):
    """kombu's transport over Redis with this channel."""

    Channel = Channel

"""The queue of what is to be graded: one Celery task over a Redis, with keys of its own for each shared folder.

A message names what is to be graded, and holds nothing of it. A worker says every second that it lives, and which
messages it has, so these are given to others soon after its death and not before, however long one takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, NamedTuple

from kombu.exceptions import OperationalError
from msgspec import Struct, json, to_builtins
from redis import RedisError

from labkit.celery_app.application import key_prefix, make_app
from labkit.celery_app.capacity import connect
from labkit.grading.remote.graded_work import GradingTask
from labkit.redis_clock import NOW
from labkit.redis_state import ANSWER_TIMEOUT, asked, labkit_error
from labkit.settings import Settings
from labkit.typed_values import typed_json

#: The name of the Celery task, and of the queue of each version.
TASK, QUEUE = "labkit.grade", "grading"
#: After so many seconds without a sign a worker counts as dead, and what it had comes again.
SILENCE = 15.0
#: How long one submission may take, in seconds: far longer than its own limits let it, since what takes longer hangs.
TIME_LIMIT = 7200.0
#: How long it is remembered what was begun, failed, or is at work, in seconds.
REMEMBERED = 24 * 3600

# KEYS: the queue, what is unacknowledged, why the task failed, the workers' signs. ARGV: the task, ms of silence.
_LOOK = (
    NOW
    + """
local there = 0
for _, messages in ipairs({redis.call('LRANGE', KEYS[1], 0, -1), redis.call('HVALS', KEYS[2])}) do
  for _, message in ipairs(messages) do
    if string.find(message, ARGV[1], 1, true) then there = 1 end
  end
end
local workers, signs = {}, redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
for index = 1, #signs, 2 do
  if math.abs(now - signs[index + 1]) <= tonumber(ARGV[2]) then table.insert(workers, signs[index]) end
end
return {there, redis.call('GET', KEYS[3]), workers}
"""
)

# KEYS: the workers' signs, the index of what is unacknowledged. ARGV: ms for which a sign is remembered, the worker,
# and the tags of the messages that it has: taken just now, as far as kombu knows.
_SIGN = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
for index = 3, #ARGV do redis.call('ZADD', KEYS[2], 'XX', now / 1000, ARGV[index]) end
"""
)


class FailedGrading(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a submission could not be graded, on the computer that tried."""

    reason: str


class TaskState(NamedTuple):
    """Of a task: whether its message waits or a worker has it, and why it failed. `workers` are those that live, each
    with its version behind a blank.
    """

    is_there: bool
    failed: FailedGrading | None
    workers: tuple[str, ...]


class GradingQueue:
    """The queue in the Redis at this URL, for the folder of this address. Threads may share it.

    Every call may raise `RedisUnreachable` and `RedisRefused`, and to make one `SettingsError`.
    """

    def __init__(self, url: str, settings: Settings, *, address: str, version: str) -> None:
        place = sha256(address.encode()).hexdigest()[:16]
        own = {
            "celery_namespace": f"{settings.celery_namespace}.grading.{place}".lstrip("."),
            "celery_visibility_timeout": SILENCE,
            "celery_results": False,
        }
        settings = settings.model_copy(update=own)
        self.url, self.version, self._prefix = url, version, key_prefix(settings)
        self._queue = f"{QUEUE}-{version}"
        self.app = make_app(url, settings)
        self.app.conf.update(task_default_queue=self._queue)
        self._client = connect(url)
        self._look = self._client.register_script(_LOOK)
        self._sign = self._client.register_script(_SIGN)

    # --- of who asks

    def look(self, key: str) -> TaskState:
        """How it stands with the task of this key."""
        names = (self._queue, "unacked", f"failed:{key}", "graders")
        with self._asked("The queue could not be looked at"):
            answer: Any = self._look(keys=[self._prefix + name for name in names], args=[key, round(SILENCE * 1000)])
        there, failed, workers = answer
        return TaskState(
            bool(there),
            None if failed is None else typed_json(failed, FailedGrading),
            tuple(sorted(worker.decode() for worker in workers)),
        )

    def send(self, task: GradingTask) -> None:
        """Have it graded; what it failed for before is forgotten."""
        what = "A submission could not be sent to the workers"
        with self._asked(what):
            self._client.delete(f"{self._prefix}failed:{task.key}")
        try:
            self._send(task)
        except (OperationalError, RedisError, OSError) as error:
            raise labkit_error(error, what) from error

    def _send(self, task: GradingTask) -> None:
        # no tries of its own, and no endless wait: whoever sends looks whether it is there
        options = {"max_retries": 0, "socket_timeout": ANSWER_TIMEOUT}
        with self.app.connection_for_write(transport_options=options) as connection:
            producer = self.app.amqp.Producer(connection, auto_declare=False)
            names = list(to_builtins(task).values())
            self.app.send_task(TASK, names, task_id=task.key, queue=self._queue, producer=producer, retry=False)

    # --- of the workers

    def begin(self, key: str) -> int:
        """A worker begins; returns how often one has since the task was sent, and has not told what came of it. 0 if it
        is told already that it failed: then the worker has died before its message was acknowledged.
        """
        name = f"{self._prefix}begun:{key}"
        with self._asked("A beginning could not be noted"), self._client.pipeline() as pipe:
            pipe.exists(f"{self._prefix}failed:{key}")
            pipe.incr(name)
            pipe.expire(name, REMEMBERED)
            is_told, begun, _ = pipe.execute()
            return 0 if is_told else int(begun)

    def end(self, key: str, failed: FailedGrading | None = None) -> None:
        """What came of it is told: there is a report, or it failed."""
        with self._asked("An end could not be noted"), self._client.pipeline() as pipe:
            if failed is not None:
                pipe.set(f"{self._prefix}failed:{key}", json.encode(failed), ex=REMEMBERED)
            pipe.delete(f"{self._prefix}begun:{key}")
            pipe.execute()

    def sign(self, worker: str, tags: Sequence[str]) -> None:
        """The worker of this name lives, and has the messages of these tags."""
        keys = [f"{self._prefix}graders", f"{self._prefix}unacked_index"]
        with self._asked("That this worker lives could not be said"):
            self._sign(keys=keys, args=[REMEMBERED * 1000, f"{worker} {self.version}", *tags])

    def leave(self, worker: str) -> None:
        """The worker of this name ends."""
        with self._asked("That this worker ends could not be said"):
            self._client.zrem(f"{self._prefix}graders", f"{worker} {self.version}")

    def _asked(self, what: str) -> AbstractContextManager[None]:
        return asked(f"{what} at {self._prefix}*")

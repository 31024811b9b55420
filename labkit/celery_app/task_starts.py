"""The starts of tasks in Celery: which of them ended with a death, so that a task that kills is given up.

A task that kills the process that runs it leaves no outcome, and Celery delivers it again, without end. So each start
is noted in Redis before the handler is called, and forgotten with its outcome; the last outcome ends the count, too.
The starts that are left tell of deaths:

certain    a process of the pool died, which ran this task only, and its worker said so; or a worker died that ran this
           task alone; or the worker itself failed at it
suspected  a worker died as a whole, which had other tasks under way as well; any of them may be to blame

After `UNCLEAN_STARTS` suspected deaths a task runs alone in its worker, so that the next one is certain. With
`DELIVERIES` deaths, of which `LONELY_STARTS` are certain, it is given up: as a worker group would do. What ran beside
it may have to run alone once, and is done.

A worker that was told to end, or that is only silent, has not died: the one takes its sign away, the other gives one
every second. One that was frozen for longer than `SILENCE` seconds counts as dead. So does one whose last sign lies as
far ahead: the clock was set back since then, and one that lives gives the next sign within a second.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import redis

from labkit.celery_app.application import key_prefix
from labkit.celery_app.capacity import REMEMBERED, SILENCE, signs_key
from labkit.celery_app.envelope import Envelope
from labkit.redis_clock import NOW
from labkit.redis_state import asked
from labkit.settings import Settings
from labkit.taskqueue.engine.partition_state import DELIVERIES, LONELY_STARTS, UNCLEAN_STARTS

# Of the fields of a task's hash, `certain` and `suspected` count its deaths; each other one is a start, named by the
# process, the thread and the run of the worker: "shared" or "alone", or "over" when only the outcome is to be noted.

# KEYS: the task, the workers' last signs. ARGV: process and thread, the worker's run, ms of silence, ms for which all
# this is remembered, the numbers of deaths, then 1 if the task has its worker for itself. One that is to and has not is
# not begun: who waits for its turn has no part in a death.
_BEGIN = (
    NOW
    + """
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local run, how = string.match(fields[index], '^%d+ %d+ (.*)$'), fields[index + 1]
  local sign = run and how ~= 'over' and redis.call('ZSCORE', KEYS[2], run)
  if run and how ~= 'over' and not (sign and math.abs(now - sign) <= tonumber(ARGV[3])) then
    redis.call('HDEL', KEYS[1], fields[index])
    if sign then redis.call('HINCRBY', KEYS[1], how == 'alone' and 'certain' or 'suspected', 1) end
  end
end
local certain = tonumber(redis.call('HGET', KEYS[1], 'certain') or 0)
local suspected = tonumber(redis.call('HGET', KEYS[1], 'suspected') or 0)
if certain >= tonumber(ARGV[6]) and certain + suspected >= tonumber(ARGV[7]) then
  return {certain + suspected, 0, 1}
end
local is_alone = ARGV[8] == '1'
if suspected >= tonumber(ARGV[5]) and not is_alone then
  return {certain + suspected, 1, 0}
end
redis.call('HSET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], is_alone and 'alone' or 'shared')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {certain + suspected, 0, 0}
"""
)

# KEYS: the task. ARGV: the process, the worker's run.
_DIED = """
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local process, run = string.match(field, '^(%d+) %d+ (.*)$')
  if run == ARGV[2] and (process == ARGV[1] or ARGV[1] == '') then
    redis.call('HDEL', KEYS[1], field)
    redis.call('HINCRBY', KEYS[1], 'certain', 1)
  end
end
"""


# KEYS: the task. ARGV: the start, ms for which it is remembered.
_FAILED = """
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'certain', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class Start(NamedTuple):
    """A start of a task, with which there were so many `deaths` before.

    It is not begun if it `must_be_alone` and is not, or if it is `to_blame`.
    """

    deaths: int
    must_be_alone: bool = False
    to_blame: bool = False


class TaskStarts:
    """The starts in one worker, all of its processes and threads included. `run` names this run of the worker.

    Every call may raise `RedisUnreachable` and `RedisRefused`.
    """

    def __init__(self, client: redis.Redis, settings: Settings, *, run: str) -> None:
        self._client = client
        self._prefix = key_prefix(settings)
        self._run = run
        self._begin = client.register_script(_BEGIN)
        self._died = client.register_script(_DIED)
        self._failed = client.register_script(_FAILED)

    def key(self, envelope: Envelope) -> str:
        """The name of the hash of this task: of its record on Kafka, since a replayed one begins anew."""
        where = f"{envelope.topic}/{envelope.partition}/{envelope.offset}"
        return f"{self._prefix}starts:{where}:{envelope.task.id}"

    def begin(self, envelope: Envelope, *, alone: bool = False) -> Start:
        """The handler is about to be called, here and by this thread; `alone`: nothing else runs in this worker."""
        times = round(SILENCE * 1000), round(REMEMBERED * 1000)
        numbers = UNCLEAN_STARTS, LONELY_STARTS, DELIVERIES
        keys = [self.key(envelope), signs_key(self._prefix)]
        with self._noted(envelope):
            found: Any = self._begin(keys=keys, args=[_here(), self._run, *times, *numbers, int(alone)])
        deaths, *flags = found
        return Start(deaths, *map(bool, flags))

    def withdraw(self, envelope: Envelope) -> None:
        """The handler was not called after all, or its outcome is written and not the last one."""
        with self._noted(envelope):
            self._client.hdel(self.key(envelope), self._field())

    def is_over(self, envelope: Envelope) -> None:
        """The handler has ended, and only its outcome is not noted yet: nobody's death is to blame on this start."""
        with self._noted(envelope), self._client.pipeline() as pipeline:
            # it may have been forgotten meanwhile, and nobody else would give it an end
            pipeline.hset(self.key(envelope), self._field(), "over")
            pipeline.pexpire(self.key(envelope), round(REMEMBERED * 1000))
            pipeline.execute()

    def failed(self, envelope: Envelope) -> None:
        """This worker itself has failed, and the message comes again as it is: that counts as a certain death."""
        with self._noted(envelope):
            self._failed(keys=[self.key(envelope)], args=[self._field(), round(REMEMBERED * 1000)])

    def process_died(self, envelope: Envelope, process: int | None) -> None:
        """A process of this worker's pool has died, which ran this task; None if it is not known which one."""
        with self._noted(envelope):
            self._died(keys=[self.key(envelope)], args=["" if process is None else process, self._run])

    def _field(self) -> str:
        return f"{_here()} {self._run}"

    def _noted(self, envelope: Envelope) -> AbstractContextManager[None]:
        where = f"at {self.key(envelope)} and {signs_key(self._prefix)}"
        return asked(f"The starts of task {envelope.task.id} could not be noted {where}")


def _here() -> str:
    """This process and thread, as they name a start."""
    return f"{os.getpid()} {threading.get_ident()}"

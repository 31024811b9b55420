"""The state of a Redis for those who use it: it answers, or it is away.

Away is one state, whatever the reason: there is no connection, or no answer in time; or there is an answer, and it is
that Redis loads its data, is full, takes no changes, is busy with a script, cannot save, or lets nobody in. redis-py
has an error of its own for some of these, takes others for mistakes in the command, and tells none of them apart from
those where a script fails (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). Whoever meets
this state waits, says so once, and goes on; to whatever was to be done it is no failure.

Every other error of redis-py is about the command: the key holds something of another kind, which another program has
put there, or the command is a mistake of ours. To wait for its end would be to wait for ever, so it is an error, which
names the key. It never ends a worker and holds up no task where Redis was only to be told of something: `Refusals`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthorizationError, InvalidResponse
from redis.retry import Retry

from labkit.errors import RedisRefused, RedisUnreachable, SettingsError
from labkit.fork_lock import lock_of_module

#: How long a connection and an answer may take, in seconds. Then Redis is away: frozen, or too busy to be of use.
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 3.0, 5.0

#: What the codes of Redis's errors say about Redis, and not about the command that was sent.
_STATES = {
    "LOADING": "is loading its data",
    "OOM": "is full",
    "READONLY": "takes no changes, as a replica",
    "BUSY": "is busy with a script",
    "UNKILLABLE": "is busy with a script",
    "MISCONF": "cannot save what it is told",
    "UNBLOCKED": "is becoming a replica",
    "NOREPLICAS": "has lost its replicas",
    "MASTERDOWN": "is a replica that has lost its master",
    "CLUSTERDOWN": "is part of a cluster that is down",
    "TRYAGAIN": "is part of a cluster that is being changed",
    "MOVED": "is part of a cluster that is being changed",
    "ASK": "is part of a cluster that is being changed",
    "NOSCRIPT": "has lost its scripts",
    "EXECABORT": "has dropped a transaction",
    "NOAUTH": "asks for a password",
    "WRONGPASS": "refuses the password",
    "NOPERM": "refuses this user",
}

#: Those of one that is no master.
_REPLICA = {_STATES[code] for code in ("READONLY", "UNBLOCKED", "MASTERDOWN")}

# The code stands at the beginning, or behind what a pipeline or a script has put before it.
_CODE = re.compile(rf"(?:^|: |-)({'|'.join(_STATES)})\b")

# The key holds something of another kind than the command is for.
_WRONG_TYPE = "WRONGTYPE"

Found = TypeVar("Found")

# Celery forks its processes while other threads of the worker may just be refused something.
_LOCK = lock_of_module()

# Where redis-py has taken the code away.
_CLASSES: tuple[tuple[type[redis.RedisError], str], ...] = (
    (redis.exceptions.BusyLoadingError, _STATES["LOADING"]),
    (redis.exceptions.OutOfMemoryError, _STATES["OOM"]),
    (redis.exceptions.ReadOnlyError, _STATES["READONLY"]),
    (redis.exceptions.MasterDownError, _STATES["MASTERDOWN"]),
    (redis.exceptions.ClusterDownError, _STATES["CLUSTERDOWN"]),
    (redis.exceptions.TryAgainError, _STATES["TRYAGAIN"]),
    (redis.exceptions.AskError, _STATES["ASK"]),
    (redis.exceptions.NoScriptError, _STATES["NOSCRIPT"]),
    (redis.exceptions.ExecAbortError, _STATES["EXECABORT"]),
    (redis.exceptions.NoPermissionError, _STATES["NOPERM"]),
    (redis.AuthenticationError, _STATES["WRONGPASS"]),
    (AuthorizationError, _STATES["NOPERM"]),
    (InvalidResponse, "does not answer as a Redis does"),
    (redis.TimeoutError, "does not answer in time"),
    (redis.ConnectionError, "does not answer"),
)


def state_of(error: BaseException) -> str | None:
    """What an error of redis-py says about Redis, in words: "is full". None if it is about the command itself."""
    for kind, state in _CLASSES:
        if isinstance(error, kind):
            return state
    found = _CODE.search(str(error)) if isinstance(error, redis.RedisError) else None
    return None if found is None else _STATES[found.group(1)]


def is_away(error: BaseException) -> bool:
    """Whether this error says that Redis is away, and not that something is wrong with what it was asked."""
    return state_of(error) is not None


def is_replica(error: BaseException) -> bool:
    """Whether this error says that whoever has answered is no master, or no more. Another may be, at the same address:
    then only a new connection leads there.
    """
    return isinstance(error, redis.ResponseError) and state_of(error) in _REPLICA


def unreachable(error: BaseException, what: str) -> RedisUnreachable:
    """The error for labkit's users; `what` could not be done."""
    hint = " Is the lab running? `labkit status` tells." if isinstance(error, redis.ConnectionError) else ""
    return RedisUnreachable(f"{what}, since Redis {state_of(error) or 'failed'}: {error}{hint}")


def labkit_error(error: BaseException, what: str) -> RedisUnreachable | RedisRefused:
    """What labkit raises for this error of redis-py, or of a library around it that has it as its cause; `what` could
    not be done. Where redis-py had nothing to say, Redis was not reached.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, redis.RedisError):
        found = found.__cause__
    if found is None or is_away(found):
        return unreachable(found or error, what)
    hint = " A key of that name is another program's: delete it, or give labkit a prefix of its own with the setting "
    mends = f"{hint}LABKIT_TOPIC_PREFIX." if _WRONG_TYPE in str(found) else ""
    return RedisRefused(f"{what}, since Redis refuses it: {str(found).rstrip('.')}.{mends}")


class Refusals:
    """Says what Redis has refused, once for each thing that comes of it. Safe to use from several threads.

    For those who only tell Redis of what they do: they go on without it.
    """

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._log = log
        self._said: set[str] = set()

    def say(self, error: RedisRefused, therefore: str) -> None:
        """It was refused, and `therefore` something is so ("the record is missing"): always in the same words."""
        with _LOCK:
            news = therefore not in self._said
            self._said.add(therefore)
        if news:
            self._log.error("%s From now on this is not said again: %s.", error, therefore)

    def hear(self, error: redis.RedisError, what: str, therefore: str) -> None:
        """As `say`, if this error is a refusal of `what` and not one of a Redis that is away."""
        found = labkit_error(error, what)
        if isinstance(found, RedisRefused):
            self.say(found, therefore)


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Inside, Redis is asked. Where that fails, the error says that `what` ("…could not be counted").

    It is `RedisUnreachable` where Redis is away, and else `RedisRefused`.
    """
    try:
        yield
    except redis.RedisError as error:
        raise labkit_error(error, what) from error


class ConnectionRetry(Retry):
    """Makes a call again where the connection was lost, and once more, over a new one, where a replica has answered."""

    def __init__(self) -> None:
        super().__init__(ConstantBackoff(0), 1, supported_errors=(redis.ConnectionError,))

    def call_with_retry(
        self,
        do: Callable[[], Found],
        fail: Callable[..., object],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Found:
        """As redis-py's; `fail` closes the connection."""
        try:
            return super().call_with_retry(do, fail, is_retryable, with_failure_count)
        except redis.ResponseError as error:
            if not is_replica(error):
                raise
            fail(error, *([1] if with_failure_count else []))
        return super().call_with_retry(do, fail, is_retryable, with_failure_count)


def redis_client(url: str, *, answer_timeout: float | None = None) -> redis.Redis:
    """A client for threads to share, which waits neither for a connection nor for an answer without end.

    `answer_timeout` is in seconds, for those who have less time than `ANSWER_TIMEOUT`. A call whose connection is found
    closed, or leads to a replica, is made a second time, so it may be done twice. Raises `SettingsError` for what is no
    URL of a Redis.
    """
    longest = ANSWER_TIMEOUT if answer_timeout is None else answer_timeout
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=min(CONNECT_TIMEOUT, longest),
            socket_timeout=longest,
            retry=ConnectionRetry(),
        )
    except ValueError as error:
        raise SettingsError(f"{url!r} is not the URL of a Redis: {error}") from error

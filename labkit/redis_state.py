"""The state of a Redis for those who use it: it answers, or it is away.

Away is one state, whatever the reason: there is no connection, or no answer in time; or there is an answer, and it is
that Redis loads its data, is full, takes no changes, is busy with a script, cannot save, or lets nobody in. redis-py
has an error of its own for some of these, takes others for mistakes in the command, and tells none of them apart from
those where a script fails (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). Whoever meets
this state waits, says so once, and goes on; to whatever was to be done it is no failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthorizationError, InvalidResponse
from redis.retry import Retry

from labkit.errors import RedisUnreachable, SettingsError

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

# The code stands at the beginning, or behind what a pipeline or a script has put before it.
_CODE = re.compile(rf"(?:^|: |-)({'|'.join(_STATES)})\b")

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


def unreachable(error: BaseException, what: str) -> RedisUnreachable:
    """The error for labkit's users; `what` could not be done."""
    hint = " Is the lab running? `labkit status` tells." if isinstance(error, redis.ConnectionError) else ""
    return RedisUnreachable(f"{what}, since Redis {state_of(error) or 'failed'}: {error}{hint}")


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Inside, Redis is asked. Where it is away, `RedisUnreachable` says that `what` ("…could not be counted")."""
    try:
        yield
    except redis.RedisError as error:
        if not is_away(error):
            raise
        raise unreachable(error, what) from error


def redis_client(url: str) -> redis.Redis:
    """A client for threads to share, which waits neither for a connection nor for an answer without end.

    A call whose connection is found closed is made a second time, so it may be done twice. Raises `SettingsError` for
    what is no URL of a Redis.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            retry=Retry(ConstantBackoff(0), 1, supported_errors=(redis.ConnectionError,)),
        )
    except ValueError as error:
        raise SettingsError(f"{url!r} is not the URL of a Redis: {error}") from error

"""Clients of Redis for the messages: one for asyncio, one for threads, with errors in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff

from labkit.errors import SettingsError
from labkit.redis_state import ANSWER_TIMEOUT, CONNECT_TIMEOUT, asked, is_replica, redis_client

#: How often a call is made again where the connection is lost, and after how many seconds each time. All scripts may
#: be sent twice.
TRIES, PAUSE = 20, 0.05

#: How many calls may be under way at once.
CONNECTIONS = 32

#: What could not be done, for those who are told.
NOT_ASKED = "The messages could not be looked up"

Word = str | bytes | int

Found = TypeVar("Found")


class AsyncConnectionRetry(AsyncRetry):
    """As `ConnectionRetry`, for asyncio."""

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[Found]],
        fail: Callable[..., Awaitable[object]],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Found:
        """As redis-py's; `fail` closes the connection."""
        try:
            return await super().call_with_retry(do, fail, is_retryable, with_failure_count)
        except redis.ResponseError as error:
            if not is_replica(error):
                raise
            await fail(error, *([1] if with_failure_count else []))
        return await super().call_with_retry(do, fail, is_retryable, with_failure_count)


def asynchronous(url: str) -> AsyncRedis:
    """A client for one event loop. Raises `SettingsError`."""
    try:
        # one that is frozen is not asked again: a request has waited long enough then
        retry = AsyncConnectionRetry(ConstantBackoff(PAUSE), TRIES, supported_errors=(redis.ConnectionError,))
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            retry=retry,
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
        )
    except ValueError as error:
        raise SettingsError(f"{url!r} is not the URL of a Redis: {error}") from error
    return AsyncRedis(connection_pool=pool)


def synchronous(url: str) -> redis.Redis:
    """A client for threads."""
    return redis_client(url)


class AsyncScript:
    """A script that is called with `await`; raises `RedisUnreachable`."""

    def __init__(self, client: AsyncRedis, text: str) -> None:
        self._script = client.register_script(text)

    async def __call__(self, keys: Sequence[str], *arguments: Word) -> Any:
        """Run it."""
        return await ask(self._script(keys=keys, args=arguments))


class ThreadScript:
    """A script that is called from a thread; raises `RedisUnreachable`."""

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._script = client.register_script(text)

    def __call__(self, keys: Sequence[str], *arguments: Word) -> Any:
        """Run it."""
        with asked(NOT_ASKED):
            return self._script(keys=keys, args=arguments)


async def ask(call: Awaitable[Any]) -> Any:
    """What Redis answers; raises `RedisUnreachable`.

    If the caller is cancelled, the call goes on by itself: redis-py 8.1 swallows a cancellation while it connects.
    """
    task = asyncio.ensure_future(call)
    task.add_done_callback(_heard)
    with asked(NOT_ASKED):
        return await asyncio.shield(task)


def _heard(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # of one whose caller is gone, nobody else will hear


async def close(client: AsyncRedis) -> None:
    """Let go of the connections, also where the caller is being cancelled."""
    await asyncio.shield(client.aclose(close_connection_pool=True))

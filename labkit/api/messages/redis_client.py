"""Clients of Redis for the messages: one for asyncio, one for threads, with errors in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from labkit.errors import RedisUnreachable, SettingsError

#: How often a call is made again where the connection is lost, and after how many seconds each time. All scripts may
#: be sent twice.
TRIES, PAUSE = 20, 0.05

#: How many calls may be under way at once.
CONNECTIONS = 32

Word = str | bytes | int


def asynchronous(url: str) -> AsyncRedis:
    """A client for one event loop. Raises `SettingsError`."""
    try:
        retry = AsyncRetry(ConstantBackoff(PAUSE), TRIES)
        pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None, retry=retry)
    except ValueError as error:
        raise SettingsError(f"{url!r} is not the URL of a Redis: {error}") from error
    return AsyncRedis(connection_pool=pool)


def synchronous(url: str) -> redis.Redis:
    """A client for threads."""
    return redis.Redis.from_url(url, retry=Retry(ConstantBackoff(PAUSE), TRIES))


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
        try:
            return self._script(keys=keys, args=arguments)
        except redis.RedisError as error:
            raise unreachable(error) from error


async def ask(call: Awaitable[Any]) -> Any:
    """What Redis answers; raises `RedisUnreachable`.

    If the caller is cancelled, the call goes on by itself: redis-py 8.1 swallows a cancellation while it connects.
    """
    task = asyncio.ensure_future(call)
    task.add_done_callback(_heard)
    try:
        return await asyncio.shield(task)
    except redis.RedisError as error:
        raise unreachable(error) from error


def _heard(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # of one whose caller is gone, nobody else will hear


def unreachable(error: redis.RedisError) -> RedisUnreachable:
    """The error in words."""
    return RedisUnreachable(f"Redis could not be asked for the messages: {error} Is the lab running?")


async def close(client: AsyncRedis) -> None:
    """Let go of the connections, also where the caller is being cancelled."""
    await asyncio.shield(client.aclose(close_connection_pool=True))

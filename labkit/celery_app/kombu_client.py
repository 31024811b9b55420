"""kombu's client of Redis, which tells of a Redis that is away in one way: as of a connection that is lost."""
# mypy: allow-untyped-calls
# kombu has types, but not everywhere

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis
from redis import exceptions

from labkit.redis_state import is_away, state_of


class RedisAway(exceptions.ConnectionError):
    """Redis has answered that it can do nothing now: to kombu and Celery the same as a connection that is lost."""


@contextmanager
def _told_as_lost() -> Iterator[None]:
    """Inside, an answer that Redis is full, read-only or busy is `RedisAway`, not an error that ends the worker."""
    try:
        yield
    except exceptions.ResponseError as error:
        if not is_away(error) or isinstance(error, exceptions.NoScriptError):  # redis-py itself brings the script
            raise
        raise RedisAway(f"Redis {state_of(error)}: {error}") from error


class PrefixedClient(redis.PrefixedStrictRedis):
    """kombu's client, which tells of a Redis that is away in one way."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """What Redis answers; raises `RedisAway`."""
        with _told_as_lost():
            return super().execute_command(*arguments, **options)

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """What Redis has answered; raises `RedisAway`."""
        with _told_as_lost():
            return super().parse_response(connection, command_name, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> _PrefixedPipeline:
        """A pipeline that tells it in the same way."""
        how = self.connection_pool, self.response_callbacks, transaction, shard_hint
        return _PrefixedPipeline(*how, global_keyprefix=self.global_keyprefix)


class _PrefixedPipeline(redis.PrefixedRedisPipeline):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        with _told_as_lost():
            return super().parse_response(connection, command_name, **options)

    def execute(self, raise_on_error: bool = True) -> Any:
        with _told_as_lost():
            return super().execute(raise_on_error)

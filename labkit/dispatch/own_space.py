"""What one session or demo has for itself: topics, groups and keys in Redis, under a prefix that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from labkit.celery_app.application import broker_url
from labkit.celery_app.capacity import connect
from labkit.lab import Lab
from labkit.lab.loopback import is_loopback
from labkit.redis_state import asked
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.namespace import abandoned, new_namespace
from labkit.taskqueue.topics import Topics


def own_settings(settings: Settings) -> Settings:
    """These settings, under a prefix that nobody else has."""
    return settings.model_copy(update={"topic_prefix": settings.topic_prefix + new_namespace()})


@contextmanager
def own_topics(lab: Lab, settings: Settings) -> Iterator[Topics]:
    """The topics under the prefix of `own_settings`; at the end all that was left under it is deleted.

    So is what programs of this machine that were killed have left in Redis. Raises `TransportError`,
    `RedisUnreachable` and `RedisRefused` if that cannot be done.
    """
    with connect_kafka(lab, prefix=settings.topic_prefix) as topics:
        try:
            yield topics
        finally:
            for name in topics.names():
                topics.delete(name)
            delete_own(connect(broker_url(settings, lab)), settings.topic_prefix)


def delete_own(client: redis.Redis, prefix: str) -> None:
    """Delete the keys in Redis that begin so, and what programs of this machine that were killed have left there.

    Raises `RedisUnreachable` and `RedisRefused`.
    """
    with asked(f"The keys in Redis that begin with {prefix} could not be deleted"):
        for key in client.scan_iter(match=f"{prefix}*", count=1000):
            client.delete(key)
    is_local = _is_local(client)
    with asked("The keys in Redis of programs that were killed could not be deleted"):
        for key in client.scan_iter(match="*own.*", count=1000):
            if abandoned([key.decode(errors="replace")], is_local=is_local):
                client.delete(key)


def _is_local(client: redis.Redis) -> bool:
    """Whether no other machine comes to this Redis: it is at a socket of the file system, or at a loopback address."""
    where = client.connection_pool.connection_kwargs
    host = str(where.get("host", ""))
    return "path" in where or is_loopback(f"redis://[{host}]" if ":" in host else f"redis://{host}")

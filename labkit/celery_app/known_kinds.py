"""The kinds of tasks that Celery's running workers have handlers for: each says so in Redis while it runs.

So a kind that nobody handles is known when a bridge, a dispatcher or a worker starts, and not by its dead letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from msgspec import DecodeError
from msgspec.json import encode

from labkit.celery_app.application import key_prefix
from labkit.celery_app.capacity import workers_key
from labkit.celery_app.kinds import HANDLERS
from labkit.errors import HandlerNotFound, RedisRefused, RedisUnreachable
from labkit.redis_state import asked
from labkit.settings import Settings
from labkit.typed_values import typed_json


def kinds_key(prefix: str) -> str:
    """The name of the hash of the workers' kinds, by their runs."""
    return f"{prefix}kinds"


def own_kinds() -> dict[str, str]:
    """The kinds that this process has handlers for, and the module of each."""
    return {kind: handling.handler.__module__ for kind, handling in HANDLERS.items()}


def say_kinds(client: redis.Redis, settings: Settings, run: str) -> None:
    """Tell others what the worker of this run handles; raises `RedisUnreachable` and `RedisRefused`."""
    key = kinds_key(key_prefix(settings))
    with asked(f"The kinds of this worker could not be said at {key}"):
        client.hset(key, run, encode(own_kinds()))


def kinds_of_workers(client: redis.Redis, settings: Settings) -> dict[str, str] | None:
    """The kinds that any running worker handles, and the modules; None if no worker runs that has said so.

    Raises `RedisUnreachable` and `RedisRefused`.
    """
    prefix = key_prefix(settings)
    with asked(f"The kinds of the workers could not be read from {kinds_key(prefix)}"):
        running: Any = client.hkeys(workers_key(prefix))
        said: Any = client.hgetall(kinds_key(prefix))
        if over := said.keys() - set(running):  # of workers that have ended
            client.hdel(kinds_key(prefix), *over)
    found: dict[str, str] | None = None
    for run in running:
        if run in said:
            found = (found or {}) | _read(said[run])
    return found


def must_be_handled(client: redis.Redis, settings: Settings) -> list[str]:
    """For who sends tasks, before the first: the handlers of this process must be those of the workers that run.

    Returns what is to be said of kinds that only workers handle. Raises `HandlerNotFound` for kinds that only this
    process handles, `RedisUnreachable` and `RedisRefused`.
    """
    here, there = own_kinds(), kinds_of_workers(client, settings)
    if there is None:
        return []
    if only_here := _without(here, there):
        raise HandlerNotFound(
            f"No running worker of Celery handles the {_named(only_here)}, so such tasks would become dead letters. "
            f"Start the workers with {_imports(here)}, or leave that out here."
        )
    only_there = _without(there, here)
    what = f"Celery's workers handle the {_named(only_there)}, and nothing here does: such tasks become dead letters."
    return [f"{what} To send them, start this with {_imports(there)}."] * bool(only_there)


def differing_kinds(client: redis.Redis, settings: Settings) -> list[str]:
    """For a worker, before its first task: what is to be said of kinds that only others handle, if Redis tells."""
    try:
        here, there = own_kinds(), kinds_of_workers(client, settings) or {}
    except (RedisUnreachable, RedisRefused):
        return []
    only_there = _without(there, here)
    what = f"Other workers handle the {_named(only_there)}, and this one does not: what it gets becomes dead letters."
    return [f"{what} Start it with {_imports(there)}."] * bool(only_there)


def _without(kinds: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    return {kind: module for kind, module in kinds.items() if kind not in known}


def _named(kinds: Mapping[str, str]) -> str:
    return f"{'kind' if len(kinds) == 1 else 'kinds'} {', '.join(map(repr, sorted(kinds)))}"


def _imports(kinds: Mapping[str, str]) -> str:
    modules = sorted({module for module in kinds.values() if not module.startswith("labkit.celery_app.")})
    return f"LABKIT_CELERY_IMPORTS={','.join(modules)}"


def _read(text: bytes) -> dict[str, str]:
    try:
        return typed_json(text, dict[str, str])
    except DecodeError:  # another program's
        return {}

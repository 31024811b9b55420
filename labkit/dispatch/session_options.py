"""The options of a session, a dispatcher and a Celery worker: their defaults, and what cannot be or does nothing."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.celery_app.celery_worker import Pool
from labkit.celery_app.known_kinds import own_kinds
from labkit.errors import HandlerNotFound, SettingsError
from labkit.policies import PriorityClass
from labkit.settings import Settings

#: The original design: the most urgent class goes straight to Celery, the others wait while its queue is full.
DEFAULT_POLICY = "reserve"
#: Celery's own.
DEFAULT_POOL: Pool = "prefork"
#: How many tasks a worker of Celery's performs at once.
DEFAULT_CONCURRENCY = 2


def must_have_one_source(classes: Sequence[PriorityClass], topic: object, **of_a_dispatcher: object) -> None:
    """A session has classes or a topic, and the options of a dispatcher only with classes; raises `SettingsError`."""
    if topic is None and not classes:
        raise SettingsError("A session needs `classes`, for a dispatcher, or a `topic`, for a bridge.")
    given = [name for name, value in of_a_dispatcher.items() if value is not None]
    if topic is not None and (classes or given):
        vain = ", ".join(["classes"] * bool(classes) + given)
        raise SettingsError(
            f"A bridge takes every record of its topic at once, so it does nothing with {vain}: leave that out, or "
            "give `classes` without a topic."
        )


def with_own_handlers(settings: Settings) -> Settings:
    """These settings, by which a worker imports the modules whose handlers this process has registered, too.

    Raises `HandlerNotFound` for a handler that lives only here, as one of a notebook's cell.
    """
    modules = dict.fromkeys(settings.celery_imports.replace(",", " ").split())
    for kind, module in own_kinds().items():
        if module == "__main__":
            raise HandlerNotFound(
                f"The handler of the kind {kind!r} lives only in this program, so Celery's worker cannot import it. "
                "Put it into a module of its own, and import that."
            )
        if not module.startswith("labkit."):
            modules[module] = None
    return settings.model_copy(update={"celery_imports": ",".join(modules)})


def limit_of(limit: int | None, settings: Settings) -> int:
    """How many tasks may be in the queue or taken, per task that Celery performs at once; raises `SettingsError`."""
    return settings.celery_limit if limit is None else _at_least_one("limit", limit, "nothing would be sent")


def concurrency_of(pool: Pool, concurrency: int | None) -> int:
    """How many tasks a worker of Celery's performs at once; raises `SettingsError`."""
    if pool == "solo" and concurrency not in (None, 1):
        raise SettingsError(
            "With the pool 'solo' there is one task at a time, so a number of them does nothing: leave it out, or take "
            "'threads' or 'prefork'."
        )
    if concurrency is None:
        return 1 if pool == "solo" else DEFAULT_CONCURRENCY
    return _at_least_one("number of tasks at once", concurrency, "Celery would take as many as there are processors")


def prefetch_of(prefetch: int) -> int:
    """How many tasks are taken per task at once; raises `SettingsError`."""
    return _at_least_one("prefetch", prefetch, "Celery would take any number")


def _at_least_one(what: str, number: int, otherwise: str) -> int:
    if number < 1:
        raise SettingsError(f"A {what} of {number} cannot be, since {otherwise}: give 1 or more.")
    return number

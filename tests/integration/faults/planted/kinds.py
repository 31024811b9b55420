"""Kinds with an effect that do not look after redeliveries by themselves."""

from __future__ import annotations

from pathlib import Path

from labkit.celery_app.kinds import handles
from labkit.faults.effects import add_effect, connection_to
from labkit.taskqueue.task import Task


def _add(task: Task) -> None:
    with connection_to(Path(task.payload["database"])) as connection, connection:
        add_effect(connection, task)


@handles("guarded")
def have_guarded_effect(task: Task) -> None:
    """Guarded by `@once`."""
    _add(task)


@handles("careless", once=False)
def have_careless_effect(task: Task) -> None:
    """A bug: nobody recognises a redelivery."""
    _add(task)

"""Handlers that another process can import."""

from __future__ import annotations

import os
import signal
import sys

from labkit.taskqueue.task import Task


def count_up(task: Task) -> int:
    """Keep a CPU busy for `payload` rounds."""
    total = 0
    for number in range(task.payload or 0):
        total += number * number % 7
    return total


def fail(task: Task) -> None:
    """Raise, and print on the way."""
    print("on the way", task.id)
    raise ValueError(f"{task.id} cannot be done")


def die(task: Task) -> None:
    """End the process that works on the task, if the payload says so."""
    if task.payload == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)


def leave(task: Task) -> None:
    """Ask the interpreter to end."""
    sys.exit(3)


def hang(task: Task) -> None:
    """Never return, if the payload says so; nothing can interrupt it but a signal."""
    while task.payload == "forever":
        pass

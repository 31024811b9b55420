"""Handlers that another process can import."""

from __future__ import annotations

import asyncio
import time

from labkit.taskqueue.task import Task

#: How long a nap is, in seconds.
NAP = 0.005


def nothing(task: Task) -> None:
    """An empty task."""


async def nap(task: Task) -> None:
    """Wait, as for an answer from elsewhere."""
    await asyncio.sleep(NAP)


def sleep_as_told(task: Task) -> None:
    """Sleep for `payload` ms."""
    time.sleep(task.payload / 1000)


def count_up(task: Task) -> None:
    """Keep a CPU busy for `payload` rounds."""
    total = 0
    for number in range(task.payload):
        total += number * number % 7

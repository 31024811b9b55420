"""What is in a queue now, taken out of it."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

Taken = TypeVar("Taken")


def contents_of(queue: deque[Taken]) -> list[Taken]:
    """All that was in it when this was called; what others add meanwhile stays."""
    return [queue.popleft() for _ in range(len(queue))]

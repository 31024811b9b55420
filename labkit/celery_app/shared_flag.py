"""A flag that a Celery worker shares with the processes of its pool."""

from __future__ import annotations

import mmap


class SharedFlag:
    """A flag that processes share which were forked since. It needs no lock, which a killed process could hold."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def is_set(self) -> bool:
        """Whether anybody has set it and nobody has cleared it since."""
        return bool(self._memory[0])

    def set(self) -> None:
        """Set it for all."""
        self._memory[0] = 1

    def clear(self) -> None:
        """Clear it for all."""
        self._memory[0] = 0

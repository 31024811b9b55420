"""Bringing the dead tasks of a share group to the dead letters.

The letter is written, then its record is rejected. The preview of confluent-kafka cannot put the two into one
transaction, so a worker that dies between them leaves both, and the task is tried again (at least once). A second
letter of the same record has the same key, so it replaces the first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from labkit.errors import TransportError
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.letters import LetterWriter

log = logging.getLogger("labkit.worker")


class ShareBurial:
    """Buries what is dead of one worker."""

    def __init__(self, letters: LetterWriter) -> None:
        self._letters = letters

    def bury(self, items: Sequence[Item]) -> bool:
        """Write the dead letters; False if the broker did not answer, and they are to be handed in again."""
        if not self._letters.may_write():
            return False
        try:
            self._letters.write(items)
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._letters.worker, error)
            self._letters.put_off()
            return False
        return True

    def close(self) -> None:
        """Let go of the connection."""
        self._letters.close()

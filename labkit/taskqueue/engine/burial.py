"""Bringing dead tasks to the dead letters, each exactly once.

The dead letter and the commit that goes past its task are one transaction (KIP-98), from which a worker is kept out
that no longer owns the partition (KIP-447). So there is no moment at which one is written without the other.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from labkit.errors import CommitRefused, TransportError
from labkit.taskqueue.engine.holding import Holding
from labkit.taskqueue.engine.item import Item
from labkit.taskqueue.engine.letters import LetterWriter
from labkit.taskqueue.engine.progress import Memo
from labkit.taskqueue.transport.contract import ConsumerClient

log = logging.getLogger("labkit.worker")


class Burial:
    """Buries what is dead of one worker, whose `client` is a member of the group."""

    def __init__(self, letters: LetterWriter, client: ConsumerClient) -> None:
        self._letters = letters
        self._client = client
        self._open_since_error: list[Item] = []

    def bury(self, items: Sequence[Item]) -> list[Item]:
        """Write the dead letters and commit; what is through, the rest is to be handed in again.

        If the group has moved on, nothing is written, and the new owners see to it.
        """
        if not items or not self._letters.may_write():
            return []
        try:
            return self._bury(items)
        except CommitRefused as error:
            log.warning("%s: %s", self._letters.worker, error)
        except TransportError as error:
            log.warning("%s: the dead letters have to wait: %s", self._letters.worker, error)
            self._open_since_error = list(items)
            self.close()  # a new client ends what is left of the transaction
        self._letters.put_off()
        return []

    def close(self) -> None:
        """Let go of the connection."""
        self._letters.close()

    def _bury(self, items: Sequence[Item]) -> list[Item]:
        self._letters.open()  # before the look at what is committed, which is settled only then
        written = [item for item in self._open_since_error if self._is_committed(item)]
        self._open_since_error = []
        left = [item for item in items if item not in written]
        if left:
            self._write(left)
        return [*written, *left]

    def _write(self, items: Sequence[Item]) -> None:
        finished: dict[Holding, list[int]] = defaultdict(list)
        for item in items:
            finished[item.owner].append(item.record.offset)
        positions = {holding.place: holding.position(finished=offsets) for holding, offsets in finished.items()}
        self._letters.write(items, positions, self._client)

    def _is_committed(self, item: Item) -> bool:
        """Whether a transaction whose end was not seen was committed."""
        place = item.owner.place
        committed = self._client.committed([place])[place]
        if committed is None:
            return False
        offset = item.record.offset
        return offset < committed.offset or offset in Memo.decode(committed.metadata, committed.offset).finished

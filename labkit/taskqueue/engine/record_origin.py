"""From which topic the records of a share group are, where their ids name it: the broker does not tell it with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from labkit.errors import TransportError
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.record_format import RECORD_ID, ForeignRecords, is_foreign
from labkit.taskqueue.transport.contract import Record

log = logging.getLogger("labkit.worker")

#: How long to wait for the topic's id, in seconds.
ASK_TIMEOUT = 5.0
#: How often it is asked for while it is not known, in seconds; in between it is looked whether the topic is there.
ASK_INTERVAL = 2.0


class RecordOrigin:
    """Tells it for records that others than labkit have written.

    A topic may be made anew at any moment. But ids never come back: what bore the name before records came and bears it
    after is what they are of. So it is asked before the first records (`look`), and with all that come.
    """

    def __init__(self, identity: TopicIdentity, foreign: ForeignRecords, *, clock: Callable[[], float]) -> None:
        self._identity = identity
        self._is_wanted = foreign != "refused"
        self._before: str | None = None
        self._is_said = False
        self._clock = clock
        self._next_at = clock()

    def look(self) -> bool:
        """Whether it is known which topic it is, so that records may come; asks where it is not.

        What comes while it is not known would have to be given back, which counts as a delivery each time.
        """
        if self._is_wanted and self._before is None and self._clock() >= self._next_at:
            self._ask()
            self._next_at = self._clock() + ASK_INTERVAL
        return self._before is not None or not self._is_wanted

    def topic_ids(self, records: Sequence[Record]) -> list[str | None]:
        """Of each record that has come now, the id of its topic; None where it is not known, and empty where it is
        labkit's own, or a copy that labkit has made and that bears its id.
        """
        foreign = [
            self._is_wanted and is_foreign(record) and RECORD_ID not in dict(record.headers) for record in records
        ]
        topic_id = self._ask() if any(foreign) else None
        return [topic_id if is_others else "" for is_others in foreign]

    def _ask(self) -> str | None:
        """The topic's id, if it has been the same since it was asked for last."""
        before = self._before
        try:
            self._before = self._identity.ask(timeout=ASK_TIMEOUT).topic_id
        except TransportError as error:
            if not self._is_said:
                log.warning("what others have written waits until Kafka tells which topic it is from: %s", error)
            self._before, self._is_said = None, True
            return None
        self._is_said = False
        return before if before == self._before else None

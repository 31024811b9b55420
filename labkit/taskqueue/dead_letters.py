"""The dead letters of a topic, from where they can be sent again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from msgspec.structs import replace

from labkit.errors import BadRecord, NotReplayable, UnknownDeadLetter, UnknownTopic
from labkit.parameters import check_methods
from labkit.taskqueue.dead_letter import (
    DROPPED,
    GONE,
    GROUP,
    REPLAYED,
    DeadLetter,
    dead_topic,
    letter_batches,
    record_size,
)
from labkit.taskqueue.record_format import copied
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.contract import Outgoing, Record, TransactionClient
from labkit.taskqueue.transport.values import LARGEST, LARGEST_BY_DEFAULT

logger = logging.getLogger(__name__)

#: How many letters are replayed or dropped in one transaction, which has limited time, …
BATCH = 500
#: … and how much they hold together, in bytes; a larger one goes by itself.
BATCH_BYTES = 4_000_000
#: How much room a record takes besides key, value and what its headers hold, in bytes.
ROOM_AROUND = 500

DeadLetterList = list[DeadLetter]


class Replayed(NamedTuple):
    """How many records were put back, and which letters stay, by their ids, and why."""

    put_back: int
    left: dict[str, str]


@check_methods
class DeadLetters:
    """The dead letters of one topic, also from before it was made anew. Letters are named by their `DeadLetter.id`, or
    by their `DeadLetter.full_id`.
    """

    def __init__(self, topics: Topics, topic: str) -> None:
        self._topics = topics
        self._topic = topic
        self._full_name = dead_topic(topics.full_name(topic))

    def list(self) -> DeadLetterList:
        """All of them, the oldest first, without what anybody else has put there; raises `UnknownTopic`."""
        letters: dict[bytes | None, DeadLetter] = {}
        for record in self._records():
            letters.pop(record.key, None)
            if record.value is not None:
                try:
                    letters[record.key] = DeadLetter.decode(record)
                except BadRecord as error:
                    logger.warning("%s It is left out.", error)
        from_place = Counter(letter.place for letter in letters.values())
        return [replace(letter, has_namesake=from_place[letter.place] > 1) for letter in letters.values()]

    def get(self, letter_id: str) -> DeadLetter:
        """The letter of that id; raises `UnknownDeadLetter`."""
        return self._find([letter_id])[0]

    def replay(self, ids: Iterable[str]) -> int:
        """Put the records of these letters back where they were, and the letters are gone; how many there were.

        Each is put back once, whoever else may be at it: the record and the tombstone are one transaction, and
        who begins to replay stops others (`TransportError`). A record comes behind those that are on its
        partition now, as it was first. Raises `UnknownDeadLetter`, and `NotReplayable` where one of them cannot be put
        back; then nothing is replayed.
        """
        wanted = list(dict.fromkeys(ids))
        with self._transactions() as transactions:
            letters = self._find(wanted)
            for letter_id, why in self._not_replayable(letters).items():
                raise NotReplayable(f"The dead letter {letter_id!r} cannot be replayed: {why}.")
            return self._put_back(transactions, letters)

    def replay_all(self) -> Replayed:
        """Put the records of all letters back, as `replay` does; those that cannot be put back stay."""
        with self._transactions() as transactions:
            letters = self.list()
            left = self._not_replayable(letters)
            return Replayed(self._put_back(transactions, [letter for letter in letters if letter.id not in left]), left)

    def drop(self, ids: Iterable[str]) -> int:
        """Forget these letters; how many there were. Raises `UnknownDeadLetter`, and then nothing is dropped."""
        wanted = list(dict.fromkeys(ids))
        with self._transactions() as transactions:
            letters = self._find(wanted)
            for batch in _batches(letters):
                transactions.write([self._tombstone(letter, DROPPED) for letter in batch])
        return len(letters)

    def _not_replayable(self, letters: DeadLetterList) -> dict[str, str]:
        """Which of these cannot be put back, by their ids, and why."""
        try:
            partitions = self._topics.describe(self._topic).partitions
        except UnknownTopic:
            partitions = 0
        found = {letter.id: _why_not(letter, partitions) for letter in letters}
        return {letter_id: why for letter_id, why in found.items() if why is not None}

    def _transactions(self) -> closing[TransactionClient]:
        """The client with which letters are brought away; it is to be had before the look at what is there, and nobody
        else can bring any away in between.
        """
        return closing(self._topics.transport.transactions(f"{self._full_name}-dead-letters"))

    def _put_back(self, transactions: TransactionClient, letters: DeadLetterList) -> int:
        found = self._topics.describe(self._topic).config if letters else {}
        largest = int(found.get(LARGEST, LARGEST_BY_DEFAULT))
        for batch in _batches(letters):
            records = [self._as_it_was(letter, largest) for letter in batch]
            transactions.write(records + [self._tombstone(letter, REPLAYED) for letter in batch])
        return len(letters)

    def _find(self, ids: Sequence[str]) -> DeadLetterList:
        letters = self.list()
        known = {letter.id: letter for letter in letters} | {letter.full_id: letter for letter in letters}
        for letter_id in ids:
            if letter_id not in known:
                raise UnknownDeadLetter(self._why_unknown(letter_id, letters))
        return list({known[letter_id].full_id: known[letter_id] for letter_id in ids}.values())

    def _why_unknown(self, letter_id: str, letters: DeadLetterList) -> str:
        alike = [letter.id for letter in letters if letter.place == letter_id]
        if alike:
            return (
                f"{self._topic} was made anew, and {letter_id!r} may be any of {len(alike)} dead letters: "
                f"{', '.join(alike)}. Name the one that is meant."
            )
        return (
            f"{self._topic} has no dead letter {letter_id!r} (of {len(letters)}): it was replayed or dropped, "
            "or the id is another. `labkit dead list` names them."
        )

    def _as_it_was(self, letter: DeadLetter, largest: int) -> Outgoing:
        """Its record, of which the topic takes so many bytes; its task keeps its id, as far as there is room for it."""
        topic, record = self._topics.full_name(letter.topic), letter.record()
        kept = copied(record, letter.topic_id)
        headers = kept.headers if record_size(kept) <= largest - ROOM_AROUND else record.headers
        return Outgoing(topic, letter.partition, letter.key, letter.value, headers)

    def _tombstone(self, letter: DeadLetter, why: bytes) -> Outgoing:
        of = () if letter.group is None else ((GROUP, letter.group.encode()),)
        return Outgoing(self._full_name, 0, letter.full_id.encode(), None, ((GONE, why), *of))

    def _records(self) -> Iterator[Record]:
        """Everything on the topic of dead letters up to now; nothing if there is no such topic."""
        try:
            yield from read_topic(self._topics.transport, self._full_name)
        except UnknownTopic:
            self._topics.get(self._topic)


def _why_not(letter: DeadLetter, partitions: int) -> str | None:
    """Why this letter cannot be put back on its topic, which has so many partitions; None if it can."""
    if letter.omitted:
        return "it does not hold its record, which its topic did not take; send its task again, and drop the letter"
    if letter.key is None and letter.value is None:
        return "its record has neither key nor value, which labkit cannot write; drop the letter"
    if partitions == 0:
        return f"the topic {letter.topic!r} is gone"
    if letter.partition >= partitions:
        return f"it is of partition {letter.partition}, and {letter.topic!r} was made anew with {partitions}"
    return None


def _batches(letters: DeadLetterList) -> Iterator[DeadLetterList]:
    return letter_batches(letters, lambda letter: len(letter.value or b""), most=BATCH, most_bytes=BATCH_BYTES)

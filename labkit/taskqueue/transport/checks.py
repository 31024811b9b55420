"""What every transport checks in the same words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from labkit.errors import CommitRefused, Fenced, NotAcknowledged, TransportError
from labkit.taskqueue.transport.values import MAX_OUTGOING_BYTES, Headers, Outgoing, TopicPartition

Kind = TypeVar("Kind")


def must_be_open(client: str, *, closed: bool) -> None:
    """Raise `TransportError` for a client that was closed."""
    if closed:
        raise TransportError(f"The {client} is closed.")


def must_be_assigned(partitions: Iterable[TopicPartition], assignment: Collection[TopicPartition]) -> None:
    """Raise `TransportError` unless the consumer reads all these partitions."""
    missing = [f"{tp.topic}/{tp.partition}" for tp in partitions if tp not in assignment]
    if missing:
        raise TransportError(f"These partitions are not assigned to this consumer: {', '.join(missing)}.")


def must_still_have(partitions: Iterable[TopicPartition], assignment: Collection[TopicPartition]) -> None:
    """Raise `CommitRefused` unless the group has given the member all these partitions.

    Kafka takes offsets for any partition from every member of a group; one that comes late from the previous
    owner would undo what the new owner has committed, or skip what it has still to do.
    """
    if any(partition not in assignment for partition in partitions):
        raise CommitRefused


def must_hold_something(key: bytes | None, value: bytes | None) -> None:
    """Raise `ValueError` for a record without key and value, which kafka-python cannot send."""
    if key is None and value is None:
        raise ValueError("A record needs a key or a value.")


def must_not_be_too_large(key: bytes | None, value: bytes | None, headers: Headers, limit: int) -> None:
    """Raise `NotAcknowledged` for a record of more than so many bytes."""
    size = len(key or b"") + len(value or b"") + sum(len(name) + len(content) for name, content in headers)
    if size > limit:
        raise NotAcknowledged(f"The record was not acknowledged: {size} bytes are too large.")


def must_be_writable(records: Iterable[Outgoing]) -> None:
    """Raise `ValueError` or `NotAcknowledged` if one of the records can never be written."""
    for record in records:
        must_hold_something(record.key, record.value)
        must_not_be_too_large(record.key, record.value, record.headers, MAX_OUTGOING_BYTES)


def must_have_group(group: str | None) -> None:
    """Raise `TransportError` for a consumer that belongs to no group, and so has nothing committed."""
    if group is None:
        raise TransportError("This consumer belongs to no group, so nothing is committed for it.")


def must_be_member(*, subscribed: bool) -> None:
    """Raise `ValueError` for a consumer that has not subscribed.

    In a transaction Kafka takes offsets of those who are not in the group without asking (KIP-447).
    """
    if not subscribed:
        raise ValueError("Positions are committed in a transaction for a consumer that has subscribed.")


def must_be_of(consumer: object, kind: type[Kind]) -> Kind:
    """The consumer, if it is of this transport's kind; `ValueError` otherwise."""
    if not isinstance(consumer, kind):
        raise ValueError(f"Positions need a consumer of this transport, and {consumer!r} is none.")  # noqa: TRY004
    return consumer


def taken_over(transactional_id: str) -> Fenced:
    """The error for a client whose transaction the broker has ended."""
    return Fenced(
        f"Kafka has ended the transaction of {transactional_id!r}: another client works under this id now, "
        "or it took too long. Write it again if it must be written."
    )

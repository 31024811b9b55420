"""What every transport checks in the same words."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from labkit.errors import CommitRefused, TransportError
from labkit.taskqueue.transport.contract import TopicPartition


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


def must_have_group(group: str | None) -> None:
    """Raise `TransportError` for a consumer that belongs to no group, and so has nothing committed."""
    if group is None:
        raise TransportError("This consumer belongs to no group, so nothing is committed for it.")

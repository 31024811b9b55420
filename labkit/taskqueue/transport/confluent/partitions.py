"""Partitions and positions as confluent-kafka writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import confluent_kafka

from labkit.taskqueue.transport.contract import Position, TopicPartition


def to_offsets(positions: Mapping[TopicPartition, Position]) -> list[confluent_kafka.TopicPartition]:
    """As confluent-kafka writes positions."""
    return [confluent_kafka.TopicPartition(*partition, *position) for partition, position in positions.items()]


def to_ours(partitions: Iterable[confluent_kafka.TopicPartition]) -> frozenset[TopicPartition]:
    """As labkit writes partitions."""
    return frozenset(TopicPartition(tp.topic, tp.partition) for tp in partitions)


def to_theirs(partitions: Sequence[TopicPartition]) -> list[confluent_kafka.TopicPartition]:
    """As confluent-kafka writes partitions."""
    return [confluent_kafka.TopicPartition(*tp) for tp in partitions]

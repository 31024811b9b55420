"""The overrides of what a consumer of kafka-python fetches: what is forgotten, kept, and ordered of whom."""

from __future__ import annotations

import time
from typing import Any

import kafka
import kafka.errors as kafka_errors
from kafka.consumer.fetcher import Fetcher

from labkit.taskqueue.transport.library_logs import LOGGER

#: The offset of what is not to be handed out: no position is there.
_NOWHERE = -1


def make_careful(client: kafka.KafkaConsumer) -> None:
    """Let a new consumer obey `forget_fetched`, and keep what a poll has taken where it cannot order more: kafka-python
    throws that away, and takes what was fetched before a seek for what is there after it if the offset is the same.
    """
    client._fetcher.__class__, client._fetcher.forgotten = _CarefulFetcher, {}


def forget_fetched(client: kafka.KafkaConsumer, partition: kafka.TopicPartition) -> None:
    """Hand out nothing that was ordered of it so far: it may be of another topic of that name, from the same offset."""
    client._fetcher.forgotten[partition] = time.monotonic()


class _OrderedOffset(int):
    """From where a partition was fetched, and when that was ordered, by the monotonic clock."""

    ordered_at = 0.0


class _CarefulFetcher(Fetcher):  # type: ignore[misc]
    """Looks at all that was fetched, when it is handed out, whether it was ordered before it was to be forgotten."""

    #: until when what was ordered of a partition counts no more
    forgotten: dict[kafka.TopicPartition, float]

    def send_fetches(self) -> Any:
        try:
            return super().send_fetches()
        except kafka_errors.RetriableError as error:  # the next poll tries again
            LOGGER.warning("fetch: %s", error)
            return []

    def _select_read_replica(self, partition: Any) -> Any:
        # of a broker that is not known any more nothing can be ordered; the library would order nothing of any then
        node = super()._select_read_replica(partition)
        return -1 if self._manager.cluster.broker_metadata(node) is None else node

    def _handle_fetch_response(self, node: Any, offsets: Any, ordered_at: float, response: Any) -> None:
        offsets = {partition: _OrderedOffset(offset) for partition, offset in offsets.items()}
        for offset in offsets.values():
            offset.ordered_at = ordered_at
        super()._handle_fetch_response(node, offsets, ordered_at, response)

    def _parse_fetched_data(self, fetch: Any) -> Any:
        place, offset = fetch.topic_partition, fetch.fetched_offset
        number = _NOWHERE if self._is_forgotten(place, offset.ordered_at) else int(offset)
        records = super()._parse_fetched_data(fetch._replace(fetched_offset=number))
        if records is not None:
            records.ordered_at = offset.ordered_at
        return records

    def _append(self, drained: Any, records: Any, *how: Any) -> Any:
        if records and self._is_forgotten(records.topic_partition, records.ordered_at):
            records.drain()
        return super()._append(drained, records, *how)

    def _is_forgotten(self, partition: kafka.TopicPartition, ordered_at: float) -> bool:
        return ordered_at <= self.forgotten.get(partition, 0.0)

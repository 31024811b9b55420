"""The callbacks of a rebalance over kafka-python, which may commit."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import kafka
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from labkit.taskqueue.transport.contract import OnAssignment, TopicPartition
from labkit.taskqueue.transport.kafka_python.client import to_ours
from labkit.taskqueue.transport.kafka_python.overrides import callback_under_way, forget_positions


class RebalanceListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Runs the callbacks of a rebalance while the caller of `poll` waits for it to end.

    kafka-python calls a listener on its I/O thread, where a commit would wait for itself. So each callback
    gets a thread of its own, and the I/O thread goes on with heartbeats until it is done.
    """

    def __init__(self, client: kafka.KafkaConsumer, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        self._client = client
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.error: BaseException | None = None

    async def on_partitions_revoked(self, revoked: Iterable[kafka.TopicPartition]) -> None:
        """Tell the consumer's owner, and forget the positions."""
        partitions = to_ours(revoked)
        if partitions:
            await self._call(self._on_revoked, partitions)
        # As Java's client does: what is assigned again is read from its committed offset, and not paused.
        # kafka-python keeps the position instead, behind which records may be that the callback gave up.
        forget_positions(self._client)

    async def on_partitions_assigned(self, assigned: Iterable[kafka.TopicPartition]) -> None:
        """Tell the consumer's owner."""
        await self._call(self._on_assigned, to_ours(assigned))

    async def _call(self, callback: OnAssignment, partitions: list[TopicPartition]) -> None:
        done, end = callback_under_way(self._client)

        def run() -> None:
            try:
                callback(partitions)
            except BaseException as error:  # noqa: BLE001 - raised again by `poll`
                self.error = error
            finally:
                end()

        try:
            threading.Thread(target=run, name="labkit-rebalance", daemon=True).start()
        except RuntimeError as error:  # there are too many threads already
            self.error = error
            end()
        await done

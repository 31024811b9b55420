"""What kafka-python needs in a rebalance: callbacks that may commit, and joins that are not forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import kafka
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future
from kafka.net.compat import KafkaNetClient

from labkit.taskqueue.transport.contract import OnAssignment, TopicPartition


class RebalanceListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Runs the callbacks of a rebalance while the caller of `poll` waits for it to end.

    kafka-python calls a listener on its I/O thread, where a commit would wait for itself. So each callback
    gets a thread of its own, and the I/O thread goes on with heartbeats until it is done.
    """

    def __init__(
        self,
        client: kafka.KafkaConsumer,
        network: KafkaNetClient,
        on_assigned: OnAssignment,
        on_revoked: OnAssignment,
    ) -> None:
        self._client = client
        self._network = network
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
        self._client._subscription.assign_from_subscribed([])

    async def on_partitions_assigned(self, assigned: Iterable[kafka.TopicPartition]) -> None:
        """Tell the consumer's owner."""
        await self._call(self._on_assigned, to_ours(assigned))

    async def _call(self, callback: OnAssignment, partitions: list[TopicPartition]) -> None:
        done = Future()

        def run() -> None:
            try:
                callback(partitions)
            except BaseException as error:  # noqa: BLE001 - raised again by `poll`
                self.error = error
            finally:
                self._network._manager.call_soon(done.success, None)

        threading.Thread(target=run, name="labkit-rebalance", daemon=True).start()
        await done


def keep_join(client: kafka.KafkaConsumer) -> None:
    """Call it before each `poll`, so that a join that ended since the last one counts.

    When `poll` runs out of time while the group rebalances, kafka-python 3.0.12 goes on joining in the
    background. But the next `poll` throws away a join that has ended in between and starts another, and each of
    these sends all other members into a rebalance again; or, where a topic grew, it believes that there is nothing
    to join, and the member has no partitions from then on.
    """
    coordinator = client._coordinator
    join = coordinator._join_task
    if join is not None:
        coordinator.request_rejoin()
        if not isinstance(join, _KeptJoin):
            coordinator._join_task = _KeptJoin(join)


class _KeptJoin:
    """A join under way or ended, which looks unfinished until its result has been fetched."""

    is_done = False

    def __init__(self, join: Future) -> None:
        self._join = join

    def add_callback(self, callback: Callable[[object], object]) -> None:
        self._join.add_callback(callback)

    def add_errback(self, callback: Callable[[object], object]) -> None:
        self._join.add_errback(callback)


def to_ours(partitions: Iterable[kafka.TopicPartition]) -> list[TopicPartition]:
    """As labkit writes partitions, in order."""
    return sorted(TopicPartition(*partition) for partition in partitions)


def to_theirs(partitions: Iterable[TopicPartition]) -> list[kafka.TopicPartition]:
    """As kafka-python writes partitions."""
    return [kafka.TopicPartition(*partition) for partition in partitions]

"""Pyrallel-Consumer 1: as many coroutines at once as told, those of a key one after the other."""

from __future__ import annotations

import asyncio
import json

from pyrallel_consumer.config import KafkaConfig
from pyrallel_consumer.consumer import PyrallelConsumer
from pyrallel_consumer.dto import ExecutionMode, WorkItem
from span import Span, orders

told = orders()
span = Span(told["tasks"])


async def work(item: WorkItem) -> None:
    """Sleep for what the task says."""
    span.begin()
    await asyncio.sleep(json.loads(item.payload)["payload"] / 1000)
    span.end()


async def main() -> None:
    """Work until all are done."""
    config = KafkaConfig(BOOTSTRAP_SERVERS=told["bootstrap"], CONSUMER_GROUP=told["group"])
    config.dlq_enabled = False
    config.parallel_consumer.ordering_mode = "key_hash"
    config.parallel_consumer.execution.mode = ExecutionMode.ASYNC
    config.parallel_consumer.execution.max_in_flight = told["concurrency"]
    consumer = PyrallelConsumer(config=config, worker=work, topic=told["topic"])
    await consumer.start()
    await asyncio.to_thread(span.done.wait)
    await consumer.stop()


asyncio.run(main())

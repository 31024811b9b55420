"""FastStream over confluent-kafka: as many coroutines at once as told, in no order (it has no order by key)."""

from __future__ import annotations

import asyncio
import logging

from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from span import Span, orders

told = orders()
span = Span(told["tasks"])
broker = KafkaBroker(told["bootstrap"], logger=logging.getLogger("quiet"))


@broker.subscriber(
    told["topic"],
    group_id=told["group"],
    auto_offset_reset="earliest",
    max_workers=told["concurrency"],
    ack_policy=AckPolicy.ACK_FIRST,  # it runs several at once under this policy alone
)
async def work(body: dict) -> None:  # type: ignore[type-arg]  # FastStream reads the plain annotation
    """Sleep for what the task says."""
    span.begin()
    await asyncio.sleep(body["payload"] / 1000)
    span.end()


async def main() -> None:
    """Work until all are done."""
    async with broker:
        await broker.start()
        await asyncio.to_thread(span.done.wait)


asyncio.run(main())

"""What takes its time, away from an event loop: on a thread that keeps no process from its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from labkit.taskqueue.timeouts import Answer, on_a_thread


async def on_daemon_thread(call: Callable[[], Answer]) -> Answer:
    """What the call returns or raises. It goes on when nobody waits any more.

    For what might not end, as letting go of clients. Python waits for the threads of `asyncio.to_thread` at its end.
    """
    return await asyncio.shield(asyncio.wrap_future(on_a_thread(call)))

"""One worker that does several tasks at once, under a simulated clock: tasks of a lane in order, lanes side by side.

All tasks wait at the start. A lane becomes ready when its task before is done; ready lanes are served first come, first
served, as the worker's engine does. What it leaves out: the time to fetch, to hand over and to commit.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Sequence

import pandas as pd

#: The columns of what is returned.
COLUMNS = ("task", "lane", "server", "started_at", "finished_at")


def simulate_lanes(lanes: Sequence[Hashable], service: Sequence[float], servers: int) -> pd.DataFrame:
    """When each task is done, one row per task in the order of finishing, with the columns `COLUMNS`; times in seconds.

    `lanes` and `service` (seconds) have one entry per task, in the order of the partition. Raises ValueError if they
    differ in length, or if there is no server.
    """
    if servers < 1:
        raise ValueError("there must be at least one server")
    waiting: dict[Hashable, deque[int]] = {}
    for task, (lane, _) in enumerate(zip(lanes, service, strict=True)):
        waiting.setdefault(lane, deque()).append(task)
    ready = deque(waiting)
    idle = list(range(servers))
    running: list[tuple[float, int, int, float]] = []  # finishes, task, server, started
    rows, now = [], 0.0
    while ready or running:
        while ready and idle:
            task = waiting[ready.popleft()].popleft()
            heapq.heappush(running, (now + service[task], task, heapq.heappop(idle), now))
        now, task, server, started = heapq.heappop(running)
        heapq.heappush(idle, server)
        rows.append((task, lanes[task], server, started, now))
        if waiting[lanes[task]]:
            ready.append(lanes[task])
    return pd.DataFrame(rows, columns=list(COLUMNS))

"""Celery on Redis, set up for empty tasks: `python -m celery -A benchmarks.rival_celery worker …`.

`python -m benchmarks.rival_celery COUNT` sends the tasks.
"""

from __future__ import annotations

import sys

from celery import Celery  # type: ignore[import-untyped]

from benchmarks.rival_redis import PREFIX, count_one, redis_url

#: What of Celery's own defaults is changed, all but the name to be faster.
SETTINGS = {
    "task_default_queue": f"{PREFIX}celery",
    "task_ignore_result": True,
    "task_acks_late": False,
    "task_store_errors_even_if_ignored": False,
    "task_send_sent_event": False,
    "worker_send_task_events": False,
    "worker_prefetch_multiplier": 0,  # no limit: whatever Redis has
    "worker_disable_rate_limits": True,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
}

app = Celery("rival", broker=redis_url().replace("unix://", "redis+socket://"))
app.conf.update(SETTINGS)


@app.task(name="empty")  # type: ignore[untyped-decorator]  # celery has no types
def empty() -> None:
    """An empty task."""
    count_one()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        empty.delay()

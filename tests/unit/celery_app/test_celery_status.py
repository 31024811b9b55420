"""Counts that the processes of a worker share."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from billiard.context import ForkContext

from labkit.celery_app.celery_status import COUNTED, PERIODIC, ROWS, OutcomeCounter
from labkit.measure.task_record import DEAD, DONE, FAILED


def test_threads_lose_nothing():
    tally = OutcomeCounter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tally.add, [DONE, FAILED] * 2000))
    assert {what: tally.total(what) for what in COUNTED if tally.total(what)} == {DONE: 2000, FAILED: 2000}


def count_as(tally, index, end):
    from billiard.process import current_process

    current_process().index = index
    for _ in range(100):
        tally.add(DONE)
    tally.add(PERIODIC)
    end()


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_counts_of_processes_add_up_also_of_one_that_was_killed():
    tally = OutcomeCounter()
    tally.add(DEAD)
    # the third has the row of the first, as the process has that takes its place; the others came when the pool grew
    for index, end in ((0, kill_oneself), (1, bool), (0, bool), (7, bool), (ROWS, bool)):
        process = ForkContext().Process(target=count_as, args=(tally, index, end))
        process.start()
        process.join()
    assert {what: tally.total(what) for what in COUNTED if tally.total(what)} == {DONE: 500, PERIODIC: 5, DEAD: 1}

"""The scenario of a producer: it is called with tasks, and the way to its broker is cut when it has returned."""

from __future__ import annotations

from collections import Counter

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import PATIENCE, BehaviourRun
from labkit.grading.sandbox.kernel import Returned

#: How many tasks it is to send.
TASKS = 20


def play_producer(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, tasks)` is to send each task once, evenly, and to return where each is: a
    list of `[partition, offset]`, in the order of the tasks.
    """
    tasks = run.new_tasks(TASKS)
    worker = run.add_worker(tasks, works=False)
    run.begin(worker)
    if not run.wait(worker.is_over, PATIENCE):
        worker.kill()
        raise run.cut(mistakes.NOT_STOPPED, f"It has not returned within {PATIENCE:g} s.")
    worker.relay.cut()  # what is not on the topic now was never waited for
    places = {(record.partition, record.offset): record.text for record in run.records()}
    times = Counter(places.values())
    for task in tasks:
        if not times[task]:
            run.tell(mistakes.NOT_SENT, f"{task!r} was not on the topic when the function had returned.", task=task)
        elif times[task] > 1:
            run.tell(mistakes.SENT_TWICE, f"{task!r} is on the topic {times[task]} times.", task=task)
    for task in times.keys() - set(tasks):
        run.tell(mistakes.UNKNOWN_TASK, "There is a record on the topic that is none of the tasks.", task=task)
    _look_at_shares(run, Counter(partition for partition, _ in places), run.partitions)
    said = worker.answer.value if isinstance(worker.answer, Returned) else None
    if not isinstance(said, list) or [places.get(place_of(one)) for one in said] != tasks:
        run.tell(
            mistakes.WRONG_PLACE,
            "It is to return the partition and the offset of each task, in their order, and what it returned is not "
            "where they are.",
        )


def _look_at_shares(run: BehaviourRun, shares: Counter[int], partitions: int) -> None:
    counts = [shares[number] for number in range(partitions)]
    if sum(counts) > 1 and sum(count > 0 for count in counts) == 1:
        run.tell(mistakes.ALL_IN_ONE, f"All {sum(counts)} tasks are on one of {partitions} partitions.")
    elif max(counts) - min(counts) > 1:
        run.tell(mistakes.UNEVEN, f"The partitions have {' and '.join(map(str, counts))} tasks.")


def place_of(said: object) -> tuple[int, int]:
    """What it said as a place; one that there is not, if it is none."""
    match said:
        case [int(partition), int(offset)]:
            return partition, offset
    return -1, -1

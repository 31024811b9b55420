"""The scenario of a group: a second worker joins, the first is killed at work, the broker is silent for a while."""

from __future__ import annotations

from collections.abc import Callable

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import PATIENCE, QUIET, BehaviourRun
from labkit.grading.behaviour.request_count import GROUP_HEARTBEAT, HEARTBEAT, JOIN_GROUP, METADATA
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.behaviour.worker_scenario import (
    UNCOMMITTED,
    look_at_commits,
    look_at_rest,
    stop_worker,
    wait_for_first_work,
    wait_for_work,
)

#: How many tasks there are at first, before the kill, and after each further step.
TASKS, BEFORE_KILL, FURTHER = 40, 16, 8
#: Which task the first worker has in hand when the second joins, and, of the later ones, when it is killed.
AT_JOIN, AT_KILL = 3, 5
#: So many tasks, each held for so many seconds and so many times longer than the one before, a worker may do before its
#: group has changed hands. A consumer hears of it with a heartbeat, every three seconds by default; these are 19 s.
BEFORE_HANDOVER, STEP, LONGER = 15, 0.6, 1.1
#: Who has sent so many heartbeats since has heard of it: the second follows the answer to the first.
HEARD = 2
#: When the session of a dead member is over at the latest that cannot be taken out, in seconds: 45 s by default.
SESSION = 75.0
#: How long the broker is silent, in seconds.
SILENCE = 1.0
#: Who has not asked the broker for the topic in so many seconds, in so many requests, has not seen that it has grown.
UNSEEN, REQUESTS = 6.0, 8


def play_group(run: BehaviourRun) -> None:
    """As for one worker; and the group has to share the tasks, to lose none by a death, and to bear a silence."""
    run.produce(TASKS)
    first, second = (run.add_worker(run.group.group) for _ in range(2))
    run.sink.hold(run.next_task(first, AT_JOIN))
    run.begin(first)
    wait_for_first_work(run, first)
    run.begin(second)
    _join(run, first, second)
    run.sink.let_go()
    _finish(run, mistakes.LEFT, second)
    look_at_rest(run)
    _kill(run, first, second)
    _silence(run, second)
    if run.grows_to:
        _grow(run, second, run.grows_to)
    stop_worker(run, second)


def _join(run: BehaviourRun, first: StudentWorker, second: StudentWorker) -> None:
    """The first worker does tasks, slowly until it has heard of the second; then that one must have its share."""

    def has_begun() -> bool:
        return run.begun(second) > 0

    def has_heard() -> bool:
        """And has not polled since, by which it would join again."""
        since = first.requests.so_far() - before
        return since[HEARTBEAT] >= HEARD and not since[JOIN_GROUP]

    run.wait(lambda: has_begun() or run.group.has(second.address), PATIENCE)
    if not run.group.has(second.address):
        said = "It is no member of the group, while another worker is."
        raise run.cut(mistakes.NOT_IN_GROUP, said, who=second.name)
    before = first.requests.so_far()
    for number in range(BEFORE_HANDOVER):
        run.wait(lambda: has_begun() or has_heard(), STEP * LONGER**number)
        if has_begun():
            return
        run.sink.let_go(then=run.next_task(first))
        if not run.wait(lambda: bool(has_begun() or run.sink.held()), PATIENCE):  # however long it changes hands
            said = f"When it had joined the group, nobody began a further task within {PATIENCE:g} s."
            raise run.cut(mistakes.LEFT, said, who=second.name)
    if not run.wait(has_begun, STEP):
        done = run.begun(first)
        raise run.cut(
            mistakes.BLOCKED_POLL,
            f"It joined the group and had no task, while {first.name} began {done} without polling in between: the "
            "group could not change hands.",
            who=second.name,
        )


def _kill(run: BehaviourRun, first: StudentWorker, second: StudentWorker) -> None:
    run.sink.hold(run.next_task(first, AT_KILL))
    run.produce(BEFORE_KILL)
    if not run.wait(lambda: bool(run.sink.held()), PATIENCE):
        said = "It got too few of the tasks, while another worker of its group got more."
        raise run.cut(mistakes.NO_SHARE, said, who=first.name)
    look_at_commits(run, first)
    run.sink.mark(f"{first.name} killed")
    first.kill()
    run.excused += UNCOMMITTED
    known = run.group.has(first.address)
    run.group.remove(first.address)  # what the broker does when the session of a dead member is over
    run.sink.let_go()
    patience = QUIET if known else SESSION
    _finish(run, mistakes.NOT_TAKEN_OVER, second, lambda quiet: quiet > patience)


def _silence(run: BehaviourRun, worker: StudentWorker) -> None:
    run.sink.hold(run.next_task(worker))
    run.produce(FURTHER)
    wait_for_work(run, worker)
    run.sink.mark("broker silent")
    worker.relay.freeze()
    run.sink.let_go()
    run.wait(worker.is_over, SILENCE)
    worker.relay.restore()
    _finish(run, mistakes.NOT_RESUMED, worker)


def _grow(run: BehaviourRun, worker: StudentWorker, partitions: int) -> None:
    before = worker.requests.so_far()

    def is_unseen(quiet: float) -> bool:
        since = worker.requests.so_far() - before
        asked = since[METADATA] + since[JOIN_GROUP] + since[GROUP_HEARTBEAT]
        return quiet > QUIET or (quiet > UNSEEN and not asked and since.total() >= REQUESTS)

    run.sink.mark(f"{partitions} partitions")
    run.grow(partitions)
    run.produce(FURTHER)
    _finish(run, mistakes.NOT_GROWN, worker, is_unseen)


def _finish(
    run: BehaviourRun,
    mistake: str,
    worker: StudentWorker,
    is_over: Callable[[float], bool] = lambda quiet: quiet > QUIET,
) -> None:
    if not run.finish(is_over):
        left = run.undone()
        said = f"{len(left)} tasks were left, {left[0]!r} the first, and no further one was begun."
        run.tell(mistake, said, task=left[0], who=worker.name)

"""The scenario of one worker: it is looked at while it has a task in hand, and later asked to stop in one."""

from __future__ import annotations

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import BehaviourRun, RunCut
from labkit.grading.behaviour.request_count import OFFSET_COMMIT
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.effect_sink import Effect

#: How many tasks there are at first, which of them is held, and how many come before the stop.
TASKS, HELD, LAST_TASKS = 16, 6, 6
#: How long a worker is looked at that has a task in hand, in seconds; and one that goes on with others meanwhile, or
#: whose commits may be on their way.
LOOK, LONG_LOOK = 0.5, 10.0
#: How long a worker may take to begin a task, in seconds, when its function was called.
BEGIN_TIMEOUT = 30.0
#: How often further tasks come meanwhile, in seconds: who begins with those has passed over what was there before.
FURTHER_EVERY = 2.0
#: How long it may take to stop, and to leave its group, in seconds.
STOP_TIMEOUT, LEAVE_TIMEOUT = 30.0, 3.0
#: A worker is to look at `stop` once a second. After so many seconds further tasks come, and who begins so many of them
#: does not look.
SECONDS_TO_LOOK, BEGUN_UNSTOPPED = 3.0, 10
#: So many finished tasks may be uncommitted at any time.
UNCOMMITTED = 1


def play_worker(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, group, work, stop)` is to call `work(task)` for each task on the topic, and
    to commit it then, until `stop` is set.
    """
    run.produce(TASKS)
    worker = run.add_worker(run.group.group)
    run.sink.hold(run.next_task(worker, HELD))
    run.begin(worker)
    wait_for_first_work(run, worker)
    look_at_commits(run, worker)
    run.sink.let_go()
    if not run.finish():
        run.tell(mistakes.LEFT, f"{len(run.undone())} tasks were left, and no further one was begun.", who=worker.name)
    look_at_rest(run)
    run.sink.hold(run.next_task(worker))
    run.produce(LAST_TASKS)
    wait_for_work(run, worker)
    stop_worker(run, worker)


def wait_for_first_work(run: BehaviourRun, worker: StudentWorker) -> None:
    """As `wait_for_work`, for a worker that is new in a new group: it is to begin with the first task."""
    first, begin = set(run.tasks), run.time.now()

    def begun() -> list[str]:
        return [effect.task for effect in run.sink.effects() if effect.what == "began"]

    def is_begun() -> bool:
        return bool(begun()) or worker.is_over()

    while not run.wait(is_begun, FURTHER_EVERY) and run.time.now() - begin < BEGIN_TIMEOUT:
        run.produce(run.partitions)
    passed_over = [task for task in begun() if task in run.tasks]
    if begun() and not passed_over:
        raise RunCut  # what it has begun is no task, which its history tells
    if passed_over and first.isdisjoint(passed_over):
        said = f"It began {passed_over[0]!r}, which came later, and none of the {len(first)} tasks that were there."
        raise run.cut(mistakes.NOT_BEGUN, said, who=worker.name)
    wait_for_work(run, worker)


def wait_for_work(run: BehaviourRun, worker: StudentWorker) -> None:
    """Return when the worker has a task in hand that is held, or has ended as it may."""
    if not run.wait(lambda: bool(run.sink.held()) or worker.is_over(), BEGIN_TIMEOUT):
        begun = run.begun(worker)
        said = f"It has begun {begun} tasks, and no further one within {BEGIN_TIMEOUT:g} s."
        raise run.cut(mistakes.LEFT if begun else mistakes.NOT_BEGUN, said, who=worker.name)


def look_at_commits(run: BehaviourRun, worker: StudentWorker) -> None:
    """What is committed while a task is in hand: not that task, and all that was finished before but one."""
    held = run.held(worker)
    if held.task in run.done():  # it was delivered again, so that an old commit may cover it
        return
    partition, offset = run.tasks[held.task]
    before = [effect for effect in run.sink.effects()[: held.number] if effect.worker == worker.name]

    def is_covered() -> bool:
        return run.group.committed().get(partition, 0) > offset

    def is_late() -> bool:
        return len(run.uncommitted(before, run.group.committed())) > UNCOMMITTED

    by_clock = any(one.mistake == mistakes.AUTO_COMMIT for one in run.found)
    may_come = worker.requests.so_far()[OFFSET_COMMIT] > 0 and not by_clock  # a commit may be on its way
    run.wait(lambda: not is_late(), LONG_LOOK if may_come else LOOK)
    covered = run.wait(is_covered, LOOK) or (bool(_others(run, held)) and run.wait(is_covered, LONG_LOOK))
    others = _others(run, held)
    if covered and others:
        run.tell(
            mistakes.SHARED_CONSUMER,
            f"While {held.task!r} was in hand it was committed as done, by who had {others[0]!r} in hand: several "
            "threads share the consumer, and each commits what the others have not done.",
            task=held.task,
            who=worker.name,
        )
    elif covered:
        run.tell(
            mistakes.COMMIT_FIRST,
            f"{held.task!r} was committed as done while it was still in hand: a crash now loses it.",
            task=held.task,
            who=worker.name,
        )
    late = run.uncommitted(before, run.group.committed())
    if len(late) > UNCOMMITTED:
        run.tell(
            mistakes.LATE_COMMIT,
            f"{len(late)} tasks were finished and not committed, {late[0]!r} the first: a crash now repeats them all.",
            task=late[0],
            who=worker.name,
        )


def look_at_rest(run: BehaviourRun) -> None:
    """What is committed when there is nothing to do: everything, unless the clock decides when.

    Who commits each task has no more than one that is not committed, however slow the computer is.
    """
    effects, most = run.sink.effects(), 2 * len(run.workers)
    if not run.wait(lambda: len(run.uncommitted(effects, run.group.committed())) <= most, LOOK):
        late = run.uncommitted(effects, run.group.committed())
        run.tell(
            mistakes.AUTO_COMMIT,
            f"There was nothing left to do, and {len(late)} finished tasks were not committed, {late[0]!r} the first: "
            "commits come by the clock, or not at all.",
            task=late[0],
        )


def stop_worker(run: BehaviourRun, worker: StudentWorker) -> None:
    """Ask it to stop: it is to finish what it has in hand, commit it, leave the group and return."""
    held = run.sink.held()
    run.sink.mark("asked to stop")
    if not stops(run, worker):
        return
    done = run.done()
    for effect in held:
        if effect.task not in done:
            said = (
                f"{effect.task!r} was in hand when the worker was asked to stop, and it returned without finishing it."
            )
            run.tell(mistakes.ABANDONED, said, task=effect.task, who=worker.name)
    look_at_end(run, worker)


def look_at_end(run: BehaviourRun, worker: StudentWorker) -> None:
    """What it has left behind when it returned: the group, and all commits made."""
    if not run.wait(lambda: not run.group.has(worker.address), LEAVE_TIMEOUT):
        run.tell(mistakes.NOT_LEFT, "It returned, and is a member of the group as before.", who=worker.name)
    late = run.uncommitted(run.sink.effects(), run.group.committed())
    if late:
        said = f"It returned, and {len(late)} finished tasks are not committed, {late[0]!r} the first."
        run.tell(mistakes.UNCOMMITTED, said, task=late[0], who=worker.name)


def stops(run: BehaviourRun, worker: StudentWorker) -> bool:
    """Ask it to stop; whether it does. One that goes on with further tasks after a time does not, and is killed."""
    if run.stop(worker, SECONDS_TO_LOOK):
        return True
    begun, asked_at = run.begun(worker), run.time.now()
    run.produce(2 * BEGUN_UNSTOPPED)

    def goes_on() -> bool:
        return run.begun(worker) >= begun + BEGUN_UNSTOPPED

    run.wait(lambda: worker.is_over() or goes_on(), STOP_TIMEOUT)
    if worker.is_over():
        return True
    passed = SECONDS_TO_LOOK + run.time.now() - asked_at
    said = f"It was asked to stop, and {passed:.0f} s later it still ran"
    said += f", and had begun {run.begun(worker) - begun} further tasks." if goes_on() else "."
    run.tell(mistakes.NOT_STOPPED, said, who=worker.name)
    worker.kill()
    return False


def _others(run: BehaviourRun, held: Effect) -> list[str]:
    """What else the worker has had in hand since it has had this task."""
    own = [effect for effect in run.sink.effects() if effect.worker == held.worker and effect.task != held.task]
    ended = {effect.task for effect in own if effect.what == "done" and effect.number < held.number}
    return [effect.task for effect in own if effect.what == "began" and effect.task not in ended]

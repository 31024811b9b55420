"""The scenario of a bridge to another broker, for which the sink of effects stands: that is away for a moment, the
bridge is killed between the two, and another one goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import QUIET, BehaviourRun, RunCut
from labkit.grading.behaviour.group_scenario import SESSION
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.behaviour.worker_scenario import (
    BEGIN_TIMEOUT,
    SECONDS_TO_LOOK,
    STOP_TIMEOUT,
    UNCOMMITTED,
    look_at_commits,
    look_at_end,
    look_at_rest,
    wait_for_first_work,
)
from labkit.grading.effect_sink import Effect
from labkit.grading.question_verdict import printable
from labkit.grading.sandbox.kernel import CodeError

#: How many tasks there are at first, which of them is held, and how many come before each further step.
TASKS, HELD, FURTHER = 12, 5, 6
#: How often a task is refused; and who tries so often when it was to have stopped does not look at `stop`.
REFUSALS, TRIES_UNSTOPPED = 2, 10


def play_bridge(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, group, hand_on, stop)` is to call `hand_on(task)` for each task on the topic,
    again where that raises `OperationalError`, and to commit the task then, until `stop` is set.
    """
    run.produce(TASKS)
    first, second = (run.add_worker(run.group.group) for _ in range(2))
    run.sink.hold(run.next_task(first, HELD))
    run.begin(first)
    wait_for_first_work(run, first)
    look_at_commits(run, first)
    run.sink.let_go()
    _finish(run, first, mistakes.LEFT)
    look_at_rest(run)
    _refuse_one(run, first)
    _kill(run, first, second)
    _stop_while_away(run, second)


def _refuse_one(run: BehaviourRun, bridge: StudentWorker) -> None:
    """The other broker refuses a task, and takes it later."""
    refused = _refused(run, bridge, REFUSALS)
    bridge.may_fail = bridge.stopping = True
    run.sink.mark("other broker away")
    run.produce(FURTHER)
    done = run.finish(lambda quiet: bridge.is_over() or _is_passed_over(run, refused) or quiet > QUIET)
    _must_run(run, bridge)
    bridge.may_fail = bridge.stopping = False
    if refused and refused[0] in run.undone():
        said = f"{refused[0]!r} was refused, since the other broker was away, and was not handed on again."
        run.tell(mistakes.PASSED_OVER, said, task=refused[0], who=bridge.name)
        raise RunCut
    if not done or run.undone():
        raise _left(run, bridge, mistakes.LEFT)


def _kill(run: BehaviourRun, first: StudentWorker, second: StudentWorker) -> None:
    """The first bridge is killed when the other broker has a task and it has not heard of that; the second goes on."""
    taken: list[str] = []

    def is_taken(effect: Effect) -> bool:
        if effect.what != "done" or effect.worker != first.name or taken:
            return False
        taken.append(effect.task)
        return True

    run.sink.hold(is_taken)
    run.produce(FURTHER)
    if not run.wait(lambda: bool(run.sink.held()), BEGIN_TIMEOUT):
        raise _left(run, first, mistakes.LEFT)
    held = run.held(first)
    run.sink.mark(f"{first.name} killed")
    first.kill()
    run.excused += 1 + UNCOMMITTED
    patience = QUIET if run.group.has(first.address) else SESSION
    run.group.remove(first.address)  # what the broker does when the session of a dead member is over
    run.sink.let_go()
    run.begin(second)
    _finish(run, second, mistakes.NOT_TAKEN_OVER, lambda quiet: quiet > patience)
    if not any(effect.task == held.task for effect in run.sink.effects()[held.number + 1 :]):
        said = f"{held.task!r} was committed as handed on before the other broker had said that it has it."
        run.tell(mistakes.COMMIT_FIRST, said, task=held.task, who=first.name)


def _stop_while_away(run: BehaviourRun, bridge: StudentWorker) -> None:
    """It is to stop while the other broker takes nothing: what that has not taken is left to the next bridge."""
    refused = _refused(run, bridge, None)
    bridge.may_fail = bridge.stopping = True
    run.produce(run.partitions)
    if not run.wait(lambda: bool(refused) or bridge.is_over(), BEGIN_TIMEOUT):
        raise _left(run, bridge, mistakes.LEFT)
    _must_run(run, bridge)
    run.sink.mark("asked to stop, other broker away")
    if not run.stop(bridge, SECONDS_TO_LOOK):
        before = len(refused)
        run.wait(lambda: bridge.is_over() or len(refused) >= before + TRIES_UNSTOPPED, STOP_TIMEOUT)
    _look_at_refused(run, bridge, refused)
    if not bridge.is_over():
        said = f"It was asked to stop, still ran {SECONDS_TO_LOOK:g} s later, and had tried {len(refused)} times."
        run.tell(mistakes.NOT_STOPPED, said, who=bridge.name)
        bridge.kill()
    elif isinstance(bridge.answer, CodeError):
        raise _not_borne(run, bridge)
    else:
        look_at_end(run, bridge)


def _look_at_refused(run: BehaviourRun, bridge: StudentWorker, refused: list[str]) -> None:
    """What the other broker has not taken is not to be committed."""
    committed = run.group.committed()
    for task in [task for task in run.tasks if task in refused]:
        partition, offset = run.tasks[task]
        if committed.get(partition, 0) > offset:
            said = f"{task!r} was committed, and the other broker has not taken it: it is lost."
            run.tell(mistakes.REFUSED_DONE, said, task=task, who=bridge.name)


def _refused(run: BehaviourRun, bridge: StudentWorker, times: int | None) -> list[str]:
    """Refuse so often the task that this bridge hands on next, or all from now on; the refusals, as they come."""
    refused: list[str] = []
    is_next = run.next_task(bridge)

    def refuses(effect: Effect) -> bool:
        if times is None:
            refuses_it = effect.worker == bridge.name
        elif refused:
            refuses_it = len(refused) < times and effect.task == refused[0]
        else:
            refuses_it = is_next(effect)
        if refuses_it:
            refused.append(effect.task)
        return refuses_it

    run.sink.refuse(refuses)
    return refused


def _is_passed_over(run: BehaviourRun, refused: list[str]) -> bool:
    """Whether the task that was refused has not been taken, and one behind it has."""
    done = run.done()
    if not refused or refused[0] in done or refused[0] not in run.tasks:
        return False
    partition, offset = run.tasks[refused[0]]
    return any(
        run.tasks[task] > (partition, offset) and run.tasks[task][0] == partition for task in done & set(run.tasks)
    )


def _must_run(run: BehaviourRun, bridge: StudentWorker) -> None:
    if bridge.is_over():
        raise _not_borne(run, bridge)


def _not_borne(run: BehaviourRun, bridge: StudentWorker) -> RunCut:
    """It has ended because the other broker was away."""
    said = "It returned when the other broker was away, and was not asked to stop."
    if isinstance(bridge.answer, CodeError):
        said = f"It ended by an error when the other broker was away: {printable(bridge.answer.last_line, 300)}."
    return run.cut(mistakes.NOT_BORNE, said, who=bridge.name)


def _finish(
    run: BehaviourRun,
    bridge: StudentWorker,
    mistake: str,
    is_over: Callable[[float], bool] = lambda quiet: quiet > QUIET,
) -> None:
    if not run.finish(is_over) or run.undone():  # those that are committed and were not handed on are lost
        raise _left(run, bridge, mistake)


def _left(run: BehaviourRun, bridge: StudentWorker, mistake: str) -> RunCut:
    left = run.undone()
    first = f", {left[0]!r} the first" if left else ""
    said = f"{len(left)} tasks were left{first}, and no further one was handed on in time."
    return run.cut(mistake, said, who=bridge.name)

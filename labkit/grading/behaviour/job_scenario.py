"""The scenario of who works on jobs: NEW to DONE, a line in a log for each, and an end when nothing comes any more."""

from __future__ import annotations

from collections import Counter

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import QUIET, BehaviourRun
from labkit.grading.behaviour.job_events import DONE, JobDraw, job_event
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.behaviour.worker_scenario import look_at_commits, look_at_end, wait_for_first_work
from labkit.grading.question_verdict import quoted
from labkit.grading.sandbox.kernel import Returned
from labkit.grading.student_json import read_json

#: How many jobs there are at first, which of them is held, and how many come when the others are done.
JOBS, HELD, LATER = 8, 4, 2
#: After how many seconds without an event it is to end. One that a busy computer has let wait for so long is started
#: again, with twice the time, so often at most.
TIMEOUT_DURATION, STARTS = 2.0, 4
#: Who ends before this share of the time has passed since its last job has not waited for it.
SHARE = 0.75
#: By how many seconds later it may end.
END_PATIENCE = 5.0


def play_jobs(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, group, timeout_duration, work, log)` is to work on each job that is NEW: to
    call `work(job)`, write DONE, add a line to the log, and commit; and to return when nothing has come for so long.
    """
    draw = JobDraw(run.rng)
    run.further = lambda count: draw.new(count, partitions=run.partitions)
    others = [draw.on(number, partitions=run.partitions) for number in range(run.partitions)]
    run.write([job_event(job, DONE, partitions=run.partitions) for job in others])
    run.produce(JOBS)
    for number in range(STARTS):
        timeout = TIMEOUT_DURATION * 2**number
        worker = _begun(run, timeout, others, is_first=number == 0)
        if _finish(run, worker) and number == 0 and not worker.is_over():
            run.wait(worker.is_over, timeout / 2)
            run.sink.mark(f"{LATER} more jobs")
            run.produce(LATER)
            _finish(run, worker)
        _wait_for_end(run, worker, timeout)
        if not run.undone() or worker.killed:
            break
    if left := run.undone():
        run.tell(mistakes.LEFT, f"{len(left)} jobs were left, {left[0]!r} the first.", task=left[0], who=worker.name)
    if not worker.killed:
        look_at_end(run, worker)
    _look_at_events(run)
    for one in run.workers:
        _look_at_log(run, one)


def _begun(run: BehaviourRun, timeout: float, others: list[str], *, is_first: bool) -> StudentWorker:
    """One more worker, which has done what was looked at while it had a job in hand."""
    worker = run.add_worker(run.group.group, timeout, logs=True)
    worker.stopping = True  # it may end by itself
    if is_first:
        run.sink.hold(run.next_task(worker, HELD))
    run.begin(worker)
    if not is_first:
        return worker
    try:
        wait_for_first_work(run, worker)
    finally:
        _look_at_others(run, others, worker)
    if run.sink.held():
        _look_at_work_in_hand(run, worker)
    run.sink.let_go()
    return worker


def _look_at_others(run: BehaviourRun, others: list[str], worker: StudentWorker) -> None:
    for effect in run.sink.effects():
        if effect.task in others:
            said = f"It worked on {effect.task!r}, of which there was no event but DONE."
            raise run.cut(mistakes.WORKED_ON_DONE, said, who=worker.name)


def _look_at_work_in_hand(run: BehaviourRun, worker: StudentWorker) -> None:
    held = run.held(worker)
    look_at_commits(run, worker)
    if any(job == held.task for job, _ in _done_events(run)):
        said = f"{held.task!r} was DONE on the topic while it was still in hand."
        run.tell(mistakes.DONE_FIRST, said, task=held.task, who=worker.name)


def _finish(run: BehaviourRun, worker: StudentWorker) -> bool:
    """Whether all jobs get done before it ends."""
    return run.finish(lambda quiet: worker.is_over() or quiet > QUIET) and not run.undone()


def _wait_for_end(run: BehaviourRun, worker: StudentWorker, timeout: float) -> None:
    if not run.wait(worker.is_over, timeout + END_PATIENCE):
        said = f"Nothing came for {timeout + END_PATIENCE:g} s, it was to end after {timeout:g} s, and it still ran."
        run.tell(mistakes.NOT_ENDED, said, who=worker.name)
        worker.kill()
        return
    own = [effect.at for effect in run.sink.effects() if effect.worker == worker.name]
    if own and worker.over_at is not None and (waited := worker.over_at - own[-1]) < SHARE * timeout:
        said = f"It ended {waited:.1f} s after its last job, and it was to end after {timeout:g} s without an event."
        run.tell(mistakes.ENDED_IN_WORK, said, who=worker.name)


def _done_events(run: BehaviourRun) -> list[tuple[str, str | None]]:
    """The jobs that are DONE on the topic by what was written to it, each with the key of its record."""
    found = []
    for record in run.records():
        try:
            value = read_json(record.text)
        except ValueError:
            said = f"The value {quoted(record.text)} on the topic is no JSON."
            raise run.cut(mistakes.NOT_JSON, said) from None
        if isinstance(value, dict) and value.get("status") == DONE:
            found.append((str(value.get("job_id")), record.key))
    return found


def _look_at_events(run: BehaviourRun) -> None:
    keys = dict(_done_events(run))
    for job in run.tasks:
        if job not in run.done():
            continue
        if job not in keys:
            run.tell(mistakes.NOT_DONE, f"{job!r} was worked on, and there is no DONE of it on the topic.", task=job)
        elif keys[job] != job:
            said = f"The DONE of {job!r} has the key {keys[job]!r}: it may be read before the job's other events."
            run.tell(mistakes.NO_KEY, said, task=job)


def _look_at_log(run: BehaviourRun, worker: StudentWorker) -> None:
    """Of a worker that was killed there is none."""
    if not isinstance(worker.answer, Returned):
        return
    text = worker.answer.value if isinstance(worker.answer.value, str) else ""
    lines = Counter(map(_job_of, text.splitlines()))
    did = [effect.task for effect in run.sink.effects() if effect.worker == worker.name and effect.what == "done"]
    for job in dict.fromkeys(did):
        if not lines[job]:
            run.tell(mistakes.NO_LINE, f"{job!r} was done, and has no line in the log.", task=job, who=worker.name)
        elif lines[job] > did.count(job):
            run.tell(mistakes.LINE_TWICE, f"{job!r} has {lines[job]} lines.", task=job, who=worker.name)


def _job_of(line: str) -> str:
    """The job that a line is about; nothing if it is none of a job."""
    try:
        value = read_json(line)
    except ValueError:
        return ""
    return str(value.get("job_id")) if isinstance(value, dict) else ""

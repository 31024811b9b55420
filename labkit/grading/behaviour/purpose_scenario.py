"""The scenario of purposes: two workers share the jobs for one purpose, and a third gets them all for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import QUIET, BehaviourRun
from labkit.grading.behaviour.group_view import groups_of
from labkit.grading.behaviour.job_events import JobDraw
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.behaviour.worker_scenario import BEGIN_TIMEOUT, stops

#: What workers may be for.
PURPOSES = ("billing", "audit", "search", "shipping", "mail", "statistics")
#: How many jobs there are at first, and how many come when all three workers have begun with some.
FIRST, LAST = 8, 16
#: How often further ones come until then, in seconds.
EVERY = 1.0

#: The workers of each purpose.
Teams = dict[str, list[StudentWorker]]


def play_purposes(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, purpose, work, stop)` is to call `work(job)` for each job that is NEW: once
    for each purpose, whichever of its workers does it.
    """
    run.is_one_group = False  # nobody but the student knows what the groups are called
    draw = JobDraw(run.rng)
    run.further = lambda count: draw.new(count, partitions=run.partitions)
    shared, alone = run.rng.sample(PURPOSES, 2)
    run.produce(FIRST)
    workers = [run.add_worker(purpose) for purpose in (shared, shared, alone)]
    teams = {shared: workers[:2], alone: workers[2:]}
    for worker in workers:
        run.begin(worker)
    _wait_until_all_work(run, teams)
    before = set(run.tasks)
    run.produce(LAST)
    last = [job for job in run.tasks if job not in before]
    _wait_for_last(run, teams, last)
    for purpose, team in teams.items():
        _look_at_jobs(run, purpose, team, last)
    for worker in workers:
        if not stops(run, worker):
            return


def _wait_until_all_work(run: BehaviourRun, teams: Teams) -> None:
    """Return when each has begun a job, so that no group changes hands any more."""
    workers = [worker for team in teams.values() for worker in team]
    begin = run.time.now()
    while not run.wait(lambda: all(run.begun(worker) for worker in workers), EVERY):
        _look_at_groups(run, teams)
        if run.time.now() - begin > BEGIN_TIMEOUT:
            idle = next(worker for worker in workers if not run.begun(worker))
            begun = any(run.begun(worker) for worker in workers)
            said = f"It began no job within {BEGIN_TIMEOUT:g} s" + (", while others did." if begun else ".")
            raise run.cut(mistakes.NO_SHARE if begun else mistakes.NOT_BEGUN, said, who=idle.name)
        run.produce(run.partitions)
    _look_at_groups(run, teams)


def _look_at_groups(run: BehaviourRun, teams: Teams) -> None:
    """What is certain from where they are members, whatever they do."""
    (shared, (one, other)), (alone, (third,)) = teams.items()
    groups = {worker.name: groups_of(run.client, worker.address) for worker in run.workers}
    if both := (groups[one.name] | groups[other.name]) & groups[third.name]:
        said = (
            f"Workers for {shared} and for {alone} are in one group, {min(both)!r}, so a job goes to one of them only."
        )
        raise run.cut(mistakes.SAME_GROUP, said, who=third.name)


def _wait_for_last(run: BehaviourRun, teams: Teams, last: Collection[str]) -> None:
    shared = next(iter(teams))

    def is_done() -> bool:
        return all(set(last) <= set(_done(run, team)) for team in teams.values())

    run.wait(is_done, QUIET)
    done = _done(run, teams[shared])
    if twice := [job for job in last if done[job] > 1]:
        said = f"For {shared}, {twice[0]!r} was done twice, by one worker and by the other."
        run.tell(mistakes.NOT_IN_GROUP, said, task=twice[0])


def _look_at_jobs(run: BehaviourRun, purpose: str, team: list[StudentWorker], last: Collection[str]) -> None:
    done = _done(run, team)
    left = [job for job in run.tasks if job not in done]
    if left and not set(left) & set(last):
        said = f"For {purpose}, {left[0]!r} was left, which came before all that was done in its partition."
        run.tell(mistakes.NOT_BEGUN, said, task=left[0])
    elif left:
        run.tell(mistakes.LEFT, f"For {purpose}, {len(left)} jobs were left, {left[0]!r} the first.", task=left[0])
    for worker in team:
        if set(last).isdisjoint(_done(run, [worker])):
            run.tell(mistakes.NO_SHARE, f"It did none of the last {len(last)} jobs for {purpose}.", who=worker.name)


def _done(run: BehaviourRun, team: list[StudentWorker]) -> Counter[str]:
    """How often each job was done by these workers."""
    names = {worker.name for worker in team}
    return Counter(effect.task for effect in run.sink.effects() if effect.what == "done" and effect.worker in names)

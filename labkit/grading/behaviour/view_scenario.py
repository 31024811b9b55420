"""The scenario of a view of the jobs: two views read all events while the topic grows and old events come late."""

from __future__ import annotations

from labkit.errors import GradingFailed
from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import PATIENCE, BehaviourRun
from labkit.grading.behaviour.group_view import groups_of
from labkit.grading.behaviour.job_events import DONE, NEW, RUNNING, VERSIONS, JobDraw, job_event
from labkit.grading.behaviour.request_count import FETCH, GROUP_HEARTBEAT, JOIN_GROUP
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.question_verdict import quoted
from labkit.grading.sandbox.kernel import Returned

#: After how many seconds without an event a view is to return, and by how many later it may.
TIMEOUT_DURATION, END_PATIENCE = 2.5, 5.0
#: Events come in so many steps, with so many seconds between two: longer than the time-out altogether.
STEPS, STEP = 6, 0.55
#: Who returns before this share of the time-out has passed since the last step has not waited for it.
SHARE = 0.75


def play_view(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, timeout_duration)` is to read all events from the first on, and to return the
    status of each job when nothing has come for so long. Two are called at once, and each is to have all.
    """
    events = _Events(run)
    events.before()
    views = [run.add_worker(TIMEOUT_DURATION, works=False) for _ in range(2)]
    for view in views:
        run.begin(view)
    _wait_until_they_read(run, views)
    run.grow(run.grows_to or run.partitions)
    latest = _write_events(run, events, views)
    for view in views:
        _wait_for_end(run, view, latest)
    for view in views:
        _look_at_view(run, events, view)


def _write_events(run: BehaviourRun, events: _Events, views: list[StudentWorker]) -> float:
    """Step by step, until all have come or a view has returned; when the last step began, by the sink's clock."""
    written = run.sink.now()
    for number in range(STEPS):
        latest = run.sink.now()
        events.step(number)
        if run.sink.now() - written > TIMEOUT_DURATION / 2:
            raise GradingFailed("The computer was too busy to write events at the pace that a view is graded by.")
        written = run.sink.now()
        if number == STEPS - 1 or run.wait(lambda: any(view.is_over() for view in views), STEP):
            break
    return latest


def _wait_until_they_read(run: BehaviourRun, views: list[StudentWorker]) -> None:
    groups: dict[str, set[str]] = {}

    def is_known(view: StudentWorker) -> bool:
        """What it reads as: for itself, or as a member of these groups."""
        asked = view.requests.so_far()
        if asked[JOIN_GROUP] + asked[GROUP_HEARTBEAT]:
            groups[view.name] = groups_of(run.client, view.address)
        return view.is_over() or bool(groups.get(view.name, asked[FETCH]))

    if not run.wait(lambda: all(map(is_known, views)), PATIENCE):
        raise run.cut(mistakes.NOT_BEGUN, f"It asked for no record within {PATIENCE:g} s.")
    one, other = (groups.get(view.name, set()) for view in views)
    if both := one & other:
        said = f"Two views at once are members of one group, {min(both)!r}: each event goes to one of them only."
        raise run.cut(mistakes.SAME_GROUP, said, who=views[1].name)


def _wait_for_end(run: BehaviourRun, view: StudentWorker, latest: float) -> None:
    if not run.wait(view.is_over, TIMEOUT_DURATION + END_PATIENCE):
        said = f"Nothing came for {TIMEOUT_DURATION + END_PATIENCE:g} s, and it still ran."
        raise run.cut(mistakes.NOT_ENDED, said, who=view.name)
    if view.over_at is not None and view.over_at < latest + SHARE * TIMEOUT_DURATION:
        said = (
            f"It returned {max(view.over_at - latest, 0):.1f} s after an event, and it was to wait for "
            f"{TIMEOUT_DURATION:g} s without one."
        )
        raise run.cut(mistakes.ENDED_IN_WORK, said, who=view.name)


def _look_at_view(run: BehaviourRun, events: _Events, view: StudentWorker) -> None:
    said = view.answer.value if isinstance(view.answer, Returned) else None
    if not isinstance(said, dict):
        told = f"It returned {quoted(said)}, and it is to return a dict with the status of each job."
        raise run.cut(mistakes.WRONG_STATUS, told, who=view.name)
    missing = {job for job in events.truth if job not in said}
    for job in sorted(missing & events.early)[:1]:
        told = f"{job!r} is not there, whose events were on the topic before the view was begun."
        run.tell(mistakes.NOT_BEGUN, told, task=job, who=view.name)
    unseen = events.late if events.late_only <= missing else set()
    if unseen:
        told = f"It says nothing of what came to new partitions, as of {min(events.late_only)!r}."
        run.tell(mistakes.NOT_GROWN, told, who=view.name)
    for job, status in events.truth.items():
        got = said.get(job)
        if got == status or job in unseen | events.early & missing:
            continue
        told = f"{job!r} is {status} by version {VERSIONS[status]}, and it says {quoted(got)}"
        if job in events.stale and got == events.stale[job]:
            run.tell(mistakes.STALE, f"{told}, whose event came later with a lower version.", task=job, who=view.name)
        else:
            run.tell(mistakes.WRONG_STATUS, f"{told}.", task=job, who=view.name)


class _Events:
    """The events of a run, what they come to, and which jobs show which mistake."""

    def __init__(self, run: BehaviourRun) -> None:
        self.truth: dict[str, str] = {}
        #: jobs of which all events were there before; that have some on new partitions; and that have none elsewhere
        self.early: set[str] = set()
        self.late: set[str] = set()
        self.late_only: set[str] = set()
        #: jobs of which an old event came last, and what it says
        self.stale: dict[str, str] = {}
        self._run, self._draw = run, JobDraw(run.rng)

    def before(self) -> None:
        """What is there before anybody reads: all on the partitions of the beginning."""
        grown = self._run.grows_to or self._run.partitions
        done = [self._draw.on(0, partitions=grown) for _ in range(3)]
        self._moving = [self._draw.on(1 + number % (grown - 1), partitions=grown) for number in range(STEPS)]
        self._staying = [self._draw.on(0, partitions=grown) for _ in range(STEPS)]
        self.early.update(done)
        self._write([(job, status) for job in done for status in (NEW, RUNNING, DONE)])
        self._write([(job, NEW) for job in (*self._moving, *self._staying)])

    def step(self, number: int) -> None:
        """What comes in one step: a job moves to a new partition, one stays, one is new, and an old event is late."""
        moving, staying, partitions = self._moving[number], self._staying[number], self._run.partitions
        new = self._draw.on(1 + number % (partitions - 1), partitions=partitions)
        self.late_only.add(new)
        self.late |= {moving, new}
        self._write(
            [(moving, RUNNING), (moving, DONE), (staying, RUNNING), (staying, DONE), (new, NEW), (new, RUNNING)]
        )
        if number % 2:
            self.stale[staying] = RUNNING
            self._write([(staying, RUNNING)], count=False)

    def _write(self, events: list[tuple[str, str]], *, count: bool = True) -> None:
        partitions = self._run.partitions
        self._run.write(
            [
                job_event(job, status, partitions=partitions, task=f"{number}: {job} {status}")
                for number, (job, status) in enumerate(events)
            ]
        )
        if count:
            self.truth.update(events)

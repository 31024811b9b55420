"""A worker that grades what others ask for: `labkit grade worker`. Each submission has one process of the worker's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from celery.worker import state
from msgspec import ValidationError

from labkit.celery_app.celery_overrides import LabkitRequest
from labkit.celery_app.celery_worker import SharedFlag, Signs, name_of, sign_step
from labkit.errors import BadAssignment, LabkitError, SettingsError, TryAgainLater
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.broker_pool import BrokerPool
from labkit.grading.grader import Grader, Report
from labkit.grading.remote.file_store import FileStore
from labkit.grading.remote.graded_work import (
    AssignmentPack,
    GradingTask,
    SubmittedWork,
    keep_report,
    kept_report,
    take_work,
)
from labkit.grading.remote.grading_queue import TASK, TIME_LIMIT, FailedGrading, GradingQueue
from labkit.grading.remote.remote_errors import FilesUnavailable
from labkit.grading.sandbox.contract import Backend
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.redis_state import Refusals
from labkit.temporary_folder import passing_folder
from labkit.typed_values import typed

#: How often processes may end with a submission before whoever asked is told, in a row.
DEATHS = 2
#: How long to wait before files or Redis are tried again, in seconds.
PAUSE = 1.0
#: How long a worker that has failed waits before it takes the next one, so that others do, in seconds: the first time,
#: and at most; twice as long each time in a row, or one that fails at once would have more than those that work.
FAILED_PAUSE, LONGEST_PAUSE = 5.0, 300.0

#: What comes of a worker that cannot say that it lives.
UNSEEN = "this worker is not seen, and what it grades may be graded twice"

Found = TypeVar("Found")

log = safe_logger("labkit.grading")


class RemoteTask:
    """What a worker does with a task. `folder` is where it may write; `files` opens the store, once in each process."""

    def __init__(
        self,
        queue: GradingQueue,
        files: Callable[[], FileStore],
        sandbox: Backend,
        folder: Path,
        *,
        outage: Outage,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._queue, self._sandbox, self._folder = queue, sandbox, folder
        self._open = files
        self._outage = outage
        self._pause = pause or threading.Event().wait
        self._failed_pause = FAILED_PAUSE

    def __call__(self, version: object, assignment: object, submission: object) -> None:
        """Grade it, unless there is a report; whoever asked finds one, or why there is none."""
        names = {"version": version, "assignment": assignment, "submission": submission}
        try:
            task = typed(names, GradingTask)
        except ValidationError as error:
            log.error("a message was dropped that names nothing to grade: %s", error)
            return
        if self._until_it_works(lambda: kept_report(self._files, task)) is None:
            self._grade(task)
        self._until_it_works(lambda: self._queue.end(task.key))

    def _grade(self, task: GradingTask) -> None:
        begun = self._until_it_works(lambda: self._queue.begin(task.key))
        if begun == 0:
            return
        if begun > DEATHS:
            self._fail(task, f"The processes that graded it have ended {DEATHS} times.")
            return
        try:
            work = self._until_it_works(lambda: take_work(self._files, SubmittedWork, task.submission))
            pack = self._until_it_works(lambda: take_work(self._files, AssignmentPack, task.assignment))
            report = self._report(pack, work)
            self._until_it_works(lambda: keep_report(self._files, task, report))
        except Exception as error:  # whatever it is, it is no fault of the submission's
            if not isinstance(error, LabkitError):
                log.exception("a submission could not be graded")
            reason = str(error) if isinstance(error, LabkitError) else f"{type(error).__name__}: {error}"
            # where the assignment lies here says nothing to whoever asked
            self._fail(task, reason.replace(f"{self._folder}/", "") if isinstance(error, BadAssignment) else reason)
        else:
            self._failed_pause = FAILED_PAUSE

    def _report(self, pack: AssignmentPack, work: SubmittedWork) -> Report:
        with ExitStack() as ends:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # systems delete what has lain in /tmp for days
            folder = ends.enter_context(passing_folder("submission", self._folder))
            assignment = read_assignment(pack.unpack(folder))
            notebook = folder / "handed_in.ipynb"
            notebook.write_bytes(work.notebook)
            brokers = None
            if any(question.name == "behaviour" for question in assignment.questions):
                brokers = ends.enter_context(BrokerPool(most=1, ahead=0))
            grader = Grader(self._sandbox, assignment, secret=work.secret, brokers=brokers)
            return grader.grade(notebook, student=work.student)

    def _fail(self, task: GradingTask, reason: str) -> None:
        failed = FailedGrading(reason=f"{reason} (On {socket.gethostname()}.)")
        log.warning("a submission could not be graded: %s", reason)
        self._until_it_works(lambda: self._queue.end(task.key, failed))
        self._pause(self._failed_pause)
        self._failed_pause = min(2 * self._failed_pause, LONGEST_PAUSE)

    @cached_property
    def _files(self) -> FileStore:
        try:
            return self._open()
        except SettingsError as error:  # it could be used when the worker began
            raise FilesUnavailable(str(error)) from error

    def _until_it_works(self, call: Callable[[], Found]) -> Found:
        """What it returns, as soon as the files and Redis can be used."""
        while True:
            try:
                with self._outage.asked(TryAgainLater):
                    return call()
            except TryAgainLater:  # which was said
                self._pause(PAUSE)


class _NoOthers:
    """Messages of other tasks, which nobody sends here."""

    @staticmethod
    def add(message: Any, settle: Callable[[], object]) -> None:
        """Drop it."""
        log.error("a message was dropped that is no task of the grader's: %s", message.headers)
        settle()


def equip_worker(queue: GradingQueue, files: Callable[[], FileStore], sandbox: Backend, folder: Path) -> None:
    """Give the queue's application what a worker needs, before `celery_worker.run_worker` runs it."""
    app, ending, redis_away, away = queue.app, SharedFlag(), SharedFlag(), SharedFlag()
    waits = "what is graded is waited with"
    outage = Outage(log, "A worker that grades", "the files or Redis", meanwhile=waits, flag=away)
    task = RemoteTask(queue, files, sandbox, folder, outage=outage)

    def grade(*names: object) -> None:
        task(*names)

    options = {"name": TASK, "shared": False, "time_limit": TIME_LIMIT, "acks_on_timeout": False}
    app.task(**options, Request=LabkitRequest)(grade)
    app.outage = Outage(log, "The worker", "Redis", meanwhile="what is begun goes on", flag=redis_away)
    app.unknown_tasks, app.longest_wait = _NoOthers(), 0.0
    app.on_process_died = lambda _arguments, _process: None  # its beginning is noted
    app.on_ending = ending.set
    parts = {"is_away": redis_away.is_set, "is_ending": ending.is_set}
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **parts}
    app.steps["consumer"].add(sign_step(partial(_signs_of, queue), app.outage, Refusals(log), UNSEEN))


def _signs_of(queue: GradingQueue, consumer: Any) -> Signs:
    name = name_of(consumer)

    def say() -> None:
        queue.sign(name, [request.message.delivery_tag for request in list(state.reserved_requests)])

    return Signs(say, lambda: queue.leave(name))

"""The grader of who asks: it has submissions graded by workers that may be anywhere, and waits for their reports.

What is kept in Redis may be lost, and what is kept in the files may not be seen at once: so it looks what has become of
a message until there is a report, and sends one that is gone again. Sent twice, it is graded once, or twice with the
same report.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from labkit.errors import GradingFailed, TryAgainLater
from labkit.grading.assignment_folder import Assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader, Report
from labkit.grading.notebook_file import read_content
from labkit.grading.question_verdict import Feedback
from labkit.grading.remote.file_store import FileStore
from labkit.grading.remote.graded_work import (
    AssignmentPack,
    GradingTask,
    SubmittedWork,
    digest_of_work,
    kept_report,
    put_work,
)
from labkit.grading.remote.grading_queue import GradingQueue, TaskState
from labkit.grading.sandbox.contract import Backend
from labkit.outage import Outage
from labkit.resource import Resource

#: How often to look what has become of a message, in seconds; and every how many looks also for a report whose message
#: is still there.
LOOK_INTERVAL, LOOKS = 1.0, 10
#: After how long without a worker it is said that there is none, in seconds.
NOBODY = 5.0
#: How long a report may take to be seen whose message is gone, in seconds: a file that another computer has made is
#: seen half a minute later on some network disks. Then the message is sent again.
UNSEEN = 60.0
#: How often a message is sent at most.
MOST_SENT = 3

log = logging.getLogger("labkit.grading")


class RemoteGrader(Resource):
    """Grades this assignment, of which `folder` is the instructor's, by workers that have the same files and Redis.

    `sandbox` runs nothing: who has handed in no file gets a report here. Threads share it; `close` ends their waits.
    """

    def __init__(
        self,
        files: FileStore,
        queue: GradingQueue,
        assignment: Assignment,
        folder: Path,
        secret: CourseSecret,
        sandbox: Backend,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._files, self._queue, self._assignment, self._secret = files, queue, assignment, secret
        self._pack = AssignmentPack.of(folder)
        self._here = Grader(sandbox, assignment, secret=secret)
        self._clock, self._closed = clock, threading.Event()
        self._pause = pause or self._closed.wait
        self._seen_at = clock()
        waits = "submissions wait with it"
        self._outage = Outage(log, "labkit", "the files or Redis", meanwhile=waits)
        self._nobody = Outage(log, "labkit", "a worker that grades", meanwhile=waits)

    def start(self) -> RemoteGrader:
        """Put the assignment into the files. Raises `FilesUnavailable`."""
        self._files.mark()
        put_work(self._files, self._pack)
        return self

    def close(self) -> None:
        """Wait for nothing more; what was sent is graded all the same, and its report is found the next time."""
        self._closed.set()

    def grade(self, notebook: Path, student: str) -> Report:
        """The report on this notebook, as `Grader.grade`, which runs where a worker is.

        Raises `GradingFailed` for what went wrong there.
        """
        content = read_content(notebook)
        if isinstance(content, Feedback):
            return self._here.grade(notebook, student=student)
        seed = self._secret.seed(self._assignment.name, student)
        work = SubmittedWork(student=student, seed=seed, notebook=content)
        report = self._wait(work)
        if (report.assignment, report.student) != (self._assignment.name, student):
            raise GradingFailed(f"The report in {self._files.name} is on another submission. Delete it, and try again.")
        return report

    def _wait(self, work: SubmittedWork) -> Report:
        task = GradingTask(
            version=self._queue.version, assignment=digest_of_work(self._pack), submission=digest_of_work(work)
        )
        sent, there_at = 0, self._clock()
        for look in count():
            if self._closed.is_set():
                raise GradingFailed("It is not waited for any more. The next time its report may be there.")
            try:
                with self._outage.asked(TryAgainLater):
                    state = self._queue.look(task.key)
                    self._hear(state)
                    if state.is_there:
                        there_at = self._clock()
                    if not state.is_there or look % LOOKS == 0:
                        report = kept_report(self._files, task)
                        if report is not None:
                            return report
                    if sent and state.failed is not None:  # before that it is an earlier attempt that has failed
                        raise GradingFailed(state.failed.reason)  # also of a bad question: here it could be read
                    if not state.is_there and (sent == 0 or self._clock() - there_at >= UNSEEN):
                        self._send(task, work, sent)
                        sent, there_at = sent + 1, self._clock()
            except TryAgainLater:  # which was said
                pass
            self._pause(LOOK_INTERVAL)
        raise AssertionError  # it counts without end

    def _send(self, task: GradingTask, work: SubmittedWork, sent: int) -> None:
        """Send it; the files once more, since somebody may have deleted them."""
        if sent == MOST_SENT:
            raise GradingFailed(f"It was sent to the workers {MOST_SENT} times, and nothing has come of it.")
        put_work(self._files, self._pack)
        put_work(self._files, work)
        self._queue.send(task)

    def _hear(self, state: TaskState) -> None:
        """Say it, once, if there is no worker, and once when there is one."""
        versions = [worker.rpartition(" ")[2] for worker in state.workers]
        if self._queue.version in versions:
            self._seen_at = self._clock()
            self._nobody.ends()
        elif self._clock() - self._seen_at >= NOBODY:
            say = "Say `labkit grade worker --files FOLDER` on any computer that has the folder and the Redis."
            if versions:
                say = f"Those that live have another labkit than {self._queue.version}: {', '.join(state.workers)}."
            self._nobody.begins(say)

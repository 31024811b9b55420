"""A queue in memory, files that can be away, and a world in which time passes only while somebody waits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from labkit.errors import RedisUnreachable
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Report
from labkit.grading.plain_backend import PlainBackend
from labkit.grading.remote import grading_worker
from labkit.grading.remote.file_store import FileStore
from labkit.grading.remote.graded_work import GradingTask
from labkit.grading.remote.grading_queue import FailedGrading, TaskState
from labkit.grading.remote.grading_worker import RemoteTask
from labkit.grading.remote.remote_errors import FilesUnavailable
from labkit.grading.remote.remote_grader import RemoteGrader
from labkit.outage import Outage
from tests.unit.clock import Clock
from tests.unit.grading.course import courses
from tests.unit.grading.notebooks import SOURCE, noted, write, write_assignment

VERSION = "0+here"
SECRET = CourseSecret(b"of the tests")


class Queue:
    """What `GradingQueue` does, in memory; `away` makes it fail."""

    version = VERSION

    def __init__(self) -> None:
        self.messages: dict[str, GradingTask] = {}
        self.sent: list[str] = []
        self.failed: dict[str, FailedGrading] = {}
        self.begun: Counter[str] = Counter()
        self.ended: list[str] = []
        self.workers: tuple[str, ...] = (f"w {VERSION}",)
        self.away = False

    def _ask(self) -> None:
        if self.away:
            raise RedisUnreachable("It is away.")

    def look(self, key: str) -> TaskState:
        self._ask()
        return TaskState(key in self.messages, self.failed.get(key), self.workers)

    def send(self, task: GradingTask) -> None:
        self._ask()
        self.failed.pop(task.key, None)
        self.messages[task.key] = task
        self.sent.append(task.key)

    def begin(self, key: str) -> int:
        self._ask()
        self.begun[key] += 1
        return 0 if key in self.failed else self.begun[key]

    def end(self, key: str, failed: FailedGrading | None = None) -> None:
        self._ask()
        if failed is not None:
            self.failed[key] = failed
        del self.begun[key]
        self.ended.append(key)


class Files(FileStore):
    """A folder on a disk; for so many `failures` it can be neither read nor written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        super().__init__(str(folder))
        self.mark()
        self.folder, self.failures, self.full = folder, 0, 0

    def read(self, name: str, most: int) -> bytes | None:
        self._fail()
        return super().read(name, most)

    def write(self, name: str, content: bytes) -> None:
        self._fail()
        if self.full:
            self.full -= 1
            raise FilesUnavailable("It is full.")
        super().write(name, content)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise FilesUnavailable("They are away.")


class World:
    """Who asks, a worker, and what is between them. `then` are what happens while who asks waits, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.source = write_assignment(folder)
        self.clock, self.queue, self.files = Clock(), Queue(), Files(folder / "files")
        self.then: deque[Callable[[], object]] = deque()
        self.asking = RemoteGrader(
            self.files,
            self.queue,
            read_assignment(self.source),
            self.source,
            SECRET,
            PlainBackend(folder),
            clock=self.clock,
            pause=self._pass,
        )
        self.asking.start()
        self.notebook = hand_in(folder, "right")
        self.reports: list[Report] = []
        outage = Outage(grading_worker.log, "A worker", "the files or Redis")
        self.worker = RemoteTask(self.queue, lambda: self.files, None, folder, outage=outage, pause=self.clock.pause)

    def ask(self) -> Report:
        """Have it graded for ada."""
        return self.asking.grade(self.notebook, "ada")

    def work(self) -> None:
        """A worker takes every message."""
        for key, task in list(self.queue.messages.items()):
            self.worker(task.version, task.assignment, task.submission)
            self.queue.messages.pop(key, None)

    def lose(self) -> None:
        """Redis loses what it has."""
        self.queue.messages.clear()

    def _pass(self, seconds: float) -> None:
        self.clock.pause(seconds)
        assert self.clock.now < 10_000, "it waits for ever"
        if self.then:
            self.then.popleft()()


class Grader:
    """Runs nothing, and knows the answers."""

    calls = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def grade(self, notebook: Path, *, student: str) -> Report:
        type(self).calls += 1
        return courses.grade(notebook, student)


def hand_in(folder: Path, q1: str) -> Path:
    """A notebook with this answer."""
    answers = {"q1": noted(q1, "q1", solution=True)}
    cells = [answers.get(one["metadata"].get("nbgrader", {}).get("grade_id"), one) for one in SOURCE]
    return write(folder / "handed_in.ipynb", cells)


def nothing() -> None:
    """A second in which nothing happens."""

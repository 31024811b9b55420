"""A course whose submissions are graded by workers, each a command of its own, over a Redis and a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from labkit.grading.course.new_course import make_course
from labkit.grading.course.released_folder import release_assignment
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.assignment_source import SOURCE
from tests.unit.grading.course.courses import hand_in, sources

RIGHT = "def double(x):\n    return FACTOR * x"
WRONG = "def double(x):\n    return x"
#: The command, where a submission may take so many seconds.
HASTY = (
    "from labkit.cli import main; from labkit.grading.remote import grading_worker as w; w.TIME_LIMIT = {limit}; main()"
)
#: Right, and slow enough to be met while it runs.
SLOW = f"import time\ntime.sleep(8)\n{RIGHT}"


class RemoteCourse:
    """The course in this folder, beside the shared one, and the commands that were begun for it."""

    def __init__(self, folder: Path, redis_url: str, answers: dict[str, str]) -> None:
        self.folder, self.files = folder, folder / "files"
        self.files.mkdir(mode=0o700)
        self.course = make_course(folder / "course", sources(folder / "assignments"))
        release_assignment(self.course, "double")
        for student, answer in answers.items():
            hand_in(self.course, student, answer)
        results = str(folder / "results")
        self._environment = {
            **os.environ,
            "LABKIT_CELERY_BROKER_URL": redis_url,
            "LABKIT_RESULTS_DIR": results,
            "PYTHONFAULTHANDLER": "1",  # a command that the system ends says where it was
        }
        self._begun: list[subprocess.Popen[str]] = []

    def _begin(self, *words: str, program: tuple[str, ...] = ("-m", "labkit")) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *program, "grade", *words],
            cwd=self.course.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._begun.append(process)
        return process

    def worker(self, workers: int = 1, *, limit: float | None = None) -> subprocess.Popen[str]:
        """A worker that is ready; with a `limit` one that ends what takes longer, in seconds."""
        program = ("-m", "labkit") if limit is None else ("-c", HASTY.format(limit=limit))
        process = self._begin("worker", "--files", str(self.files), "--concurrency", str(workers), program=program)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"is ready: {workers} at once, with the files at {self.files}." in line, process.communicate()
        return process

    def auto(self, *words: str, name: str = "double") -> subprocess.Popen[str]:
        """Have all graded by workers."""
        return self._begin("auto", name, "--files", str(self.files), *words)

    def add(self, name: str) -> None:
        """Give out one of labkit's own assignments, of which the model is handed in."""
        shutil.copytree(SOURCE / name, self.course.source(name))
        release_assignment(self.course, name)
        submitted = self.course.submitted("model", name)
        submitted.mkdir(parents=True)
        shutil.copy(SOURCE / name / f"{name}.ipynb", submitted)

    def here(self) -> subprocess.Popen[str]:
        """Grade all on this machine."""
        return self._begin("auto", "double")

    def sent(self) -> int:
        """How many submissions are in the shared folder."""
        return len(list(self.files.glob("submission-*.json")))

    def reports(self) -> dict[str, Any]:
        """What is kept of each student."""
        folder = self.course.report("x", "double").parent
        return {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._begun:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def graders(worker: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    """The processes of the worker that have student code in a sandbox now."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(worker.pid).children():
            with suppress(psutil.NoSuchProcess):
                if any(child.name() == "bwrap" for child in process.children(recursive=True)):
                    yield process


def at_work(worker: subprocess.Popen[str]) -> list[psutil.Process]:
    """Those, as soon as there are some."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        found.extend(graders(worker))
        return bool(found)

    wait_until(are_there, timeout=PATIENCE, what="a worker was to run student code")
    return found

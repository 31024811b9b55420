"""The grader: how fast, whether its marks are the same again, and what comes of a run that is killed.

`python -m benchmarks.grading --students 12 --class 20 --killed 12` tries a small one, and keeps nothing of it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, alternate, measured, never, ratios
from benchmarks.grading_class import SOURCES, GradedClass, Marks, make_class, nbgrader, small_assignment, variants_of
from benchmarks.report import number

#: How often a run is killed, and how many busy loops run beside one.
KILLS, LOOPS = 5, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many students of the small assignment, of `a2_task_queue` on the broker, of those that are graded again, and
    of a run that is killed.
    """

    students: int = 24
    of_class: int = 300
    again: int = 17
    killed: int = 60
    repeats: int = 3


def measure(size: Size | None = None) -> Iterator[Figure]:
    """More than half an hour."""
    size = size or Size()
    with TemporaryDirectory() as folder:
        yield _against_nbgrader(Path(folder) / "small", size)
        yield _killed(Path(folder) / "killed", size)
        yield _again(Path(folder) / "again", size)
        yield _class(Path(folder) / "class", size)


def _against_nbgrader(folder: Path, size: Size) -> Figure:
    rounds = iter(range(2 * size.repeats))

    def ours() -> float:
        place = folder / str(next(rounds))
        made = make_class(place, small_assignment(place / "small"), size.students, [{}])
        began = time.monotonic()
        made.grade()
        _must_be_right(made)
        return 60 * size.students / (time.monotonic() - began)

    def stock() -> float:
        place = folder / str(next(rounds))
        course = place / "stock"
        handed_in = make_class(place, small_assignment(place / "small"), size.students, [{}]).course
        shutil.copytree(
            place / "small" / "small", course / "source" / "small", ignore=shutil.ignore_patterns("questions")
        )
        nbgrader("generate_assignment", "small", cwd=course)
        shutil.copytree(handed_in.root / "submitted", course / "submitted")
        began = time.monotonic()
        nbgrader("autograde", "small", cwd=course)
        return 60 * size.students / (time.monotonic() - began)

    own, rival = alternate(ours, stock, repeats=size.repeats)
    return measured(
        "grading_nbgrader",
        "small notebooks graded per minute against stock nbgrader",
        ratios(own, rival),
        unit="x",
        better="higher",
        at_least=5,
        aim=15,
        how=(
            f"{size.students} submissions of two functions each, all right; `labkit grade auto --concurrency 2` in the "
            "sandbox, from the command to its end."
        ),
        rival="`nbgrader autograde` 0.9.6 of the same submissions: a kernel for each, one after the other, no sandbox.",
        beside={"notebooks per minute": _median(own), "the rival's": _median(rival)},
    )


def _killed(folder: Path, size: Size) -> Figure:
    """Killed by SIGKILL after so many lines that the runs together have said."""
    rng = random.Random(13)
    made = make_class(folder, SOURCES / "a1_topics_and_producer", size.killed, variants_of("a1_topics_and_producer"))
    said: Counter[str] = Counter()
    for after in sorted(rng.sample(range(1, size.killed - 1), KILLS)):
        _run_until(made, said, after)
    _run_until(made, said, None)
    marks = made.marks()
    missing = sum(not of for of in marks.values())
    return never(
        "grading_killed",
        f"grading killed {KILLS} times: submissions that were not graded once",
        [missing + sum(times != 1 for times in said.values()) + abs(len(said) - size.killed)],
        unit="submissions",
        how=(
            f"{size.killed} submissions of a1_topics_and_producer; `labkit grade auto` is killed by SIGKILL {KILLS} "
            "times, after numbers of graded ones drawn from a seed, and said again. Each has one report, and one line."
        ),
    )


def _run_until(made: GradedClass, said: Counter[str], after: int | None) -> None:
    """Grade until so many are said to be graded, then kill it; or to the end."""
    with subprocess.Popen(
        made.command(), cwd=made.course.root, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            student = line.partition(":")[0]
            if student.startswith("s") and " points" in line:
                said[student] += 1
            if after is not None and sum(said.values()) >= after:
                process.send_signal(signal.SIGKILL)
                break
    if after is None and process.returncode:
        sys.exit(f"The last run of `labkit grade auto` ended with status {process.returncode}.")


def _again(folder: Path, size: Size) -> Figure:
    made = make_class(folder, SOURCES / "a2_task_queue", size.again, variants_of("a2_task_queue"))
    marks: list[Marks] = []
    for loops in (0, 0, 0, LOOPS):
        made.forget()
        with _busy(loops):
            made.grade()
        marks.append(made.marks())
    different = sum(any(one[student] != marks[0][student] for one in marks[1:]) for student in marks[0])
    return never(
        "grading_again",
        f"graded three times, and beside {LOOPS} busy loops: students with other marks",
        [different],
        unit="students",
        how=f"{size.again} submissions of a2_task_queue on the live broker: the model, other styles, planted mistakes.",
    )


def _class(folder: Path, size: Size) -> Figure:
    made = make_class(folder, SOURCES / "a2_task_queue", size.of_class, variants_of("a2_task_queue"))
    began = time.monotonic()
    made.grade()
    return measured(
        "grading_class",
        f"{size.of_class} submissions of a2_task_queue on the live broker",
        [(time.monotonic() - began) / 60],
        unit="min",
        better="lower",
        at_least=40,
        aim=15,
        how=(
            "The model, other styles and planted mistakes in turn; `labkit grade auto --concurrency 2`, each "
            "submission in sandboxes and on a Kafka of its own."
        ),
    )


def _must_be_right(made: GradedClass) -> None:
    if any(sum(of.values()) != 2 for of in made.marks().values()):
        sys.exit("A right answer has not all its points, so nothing was measured.")


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(loops):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def _median(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    """A small run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("--students", type=int, default=6)
    parser.add_argument("--class", type=int, default=4, dest="of_class")
    parser.add_argument("--again", type=int, default=4)
    parser.add_argument("--killed", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=1)
    for figure in measure(Size(**vars(parser.parse_args()))):
        print(f"{figure.what}: {number(figure.value, figure.unit)}, beside {figure.beside}", flush=True)


if __name__ == "__main__":
    main()

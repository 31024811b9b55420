"""`labkit grade demo` as an instructor types it: a class of twelve, on brokers of its own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from msgspec import json

from labkit.errors import SandboxUnavailable
from labkit.grading.course.graded_file import GradedFile
from labkit.grading.sandbox import Bubblewrap
from labkit.taskqueue.timeouts import wait_until
from tests.acceptance.commands import outcome
from tests.conditions import PATIENCE

TypeIn = Callable[..., subprocess.Popen[str]]
A1 = "a1_topics_and_producer"
#: What a browser's place is taken by, which has no window.
NO_BROWSER = {"BROWSER": "true"}
#: How long the class may take on a computer with much else to do, in seconds.
TIMEOUT = 900


@pytest.fixture(autouse=True)
def sandbox() -> None:
    """`make bubblewrap` installs what it needs."""
    try:
        Bubblewrap().check()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for sockets."""
    with TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


@pytest.mark.long
def test_ctrl_c_ends_the_demo_with_all_that_it_has_started(type_in: TypeIn, tmp_path: Path, short: Path) -> None:
    demo = type_in("grade", "demo", "class", TMPDIR=str(short), **NO_BROWSER)
    assert demo.stdout is not None
    assert any(line == "damaged_file: 0 of 24 points\n" for line in demo.stdout)  # which takes no sandbox
    wait_until(lambda: any(short.glob("sockets-*")), timeout=PATIENCE, what="nobody's code is on its broker")
    begun = psutil.Process(demo.pid).children(recursive=True)
    assert any(is_broker(process) for process in begun)
    demo.send_signal(signal.SIGINT)
    out, _ = outcome(demo, 130)
    assert f"Interrupted. {A1}: " in out
    assert f"To go on: cd {tmp_path / 'class'}, and `labkit grade auto {A1}`, " in out
    assert psutil.wait_procs(begun, timeout=60)[1] == []
    assert [*short.glob("labkit-*"), *short.glob("*.labkit")] == []


def is_broker(process: psutil.Process) -> bool:
    """Whether it is, and runs."""
    with suppress(psutil.NoSuchProcess):
        return process.name() == "java"
    return False


#: What each gets by program, and of each question the first mistake; of those that nobody has answered, none is told.
EXPECTED = {
    "right": (21, {}),
    "right_in_other_words": (21, {}),
    "half_done": (5, {"q2": "first and last only"}),
    "salted_hash": (
        9,
        {"q1": "changes from process to process", "q3": "before", "q4": "ratio of the sizes"},
    ),
    "sign_bit_kept": (
        5,
        {
            "q1": "sign bit kept",
            "q2": "several records",
            "q3": "sign bit kept",
            "q4": "common factor forgotten",
            "q5": "no wait for the acknowledgement",
        },
    ),
    "one_by_one": (7, {"q1": "no key", "q5": "wait for each record"}),
    "record_by_record": (7, {"q1": "no key", "q5": "wait for each record"}),
    "endless_loop": (4, {"q1": "cell ended"}),
    "process_ended": (4, {"q1": "cell ended"}),
    "fork_bomb": (0, {"q1": "cell failed"}),
    "equal_to_everything": (0, {"q1": "always the same", "q2": "error"}),
    "damaged_file": (0, dict.fromkeys(("q1", "q2", "q3", "q4", "q5", "q6"), "broken JSON")),
}


@pytest.mark.long
@pytest.mark.timeout(2 * TIMEOUT)
def test_the_demo_grades_its_class_as_its_ids_say(type_in: TypeIn, tmp_path: Path) -> None:
    demo = type_in("grade", "demo", "class", **NO_BROWSER)
    out, err = demo.communicate(timeout=TIMEOUT)
    assert (demo.returncode, err) == (0, "")
    files = (tmp_path / "class" / "reports" / A1).glob("*.json")
    reports = {file.stem: json.decode(file.read_bytes(), type=GradedFile).report for file in files}
    found = {
        student: (
            report.points,
            {
                verdict.question: verdict.feedback[0].mistake
                for verdict in report.verdicts
                if verdict.feedback and verdict.feedback[0].mistake != "no answer"
            },
        )
        for student, report in reports.items()
    }
    assert found == EXPECTED
    page = tmp_path / "class" / "reports" / f"{A1}.html"
    assert f"Class report: {page}\n" in out
    shown = page.read_text()
    assert "<strong>one_by_one</strong> and <strong>record_by_record</strong>" in shown
    assert shown.count("<summary>") == 1
    assert "<tr><th>handed in nothing</th><td>absent</td></tr>" in shown
    assert "<script" not in shown
    assert shown.count('<a href="../feedback/') == len(EXPECTED)

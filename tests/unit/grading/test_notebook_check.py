"""The visible checks of a notebook: on which code, where, and what is told; in plain processes, without a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading import notebook_check
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.check_errors import ChecksFailed, NotChecked
from labkit.grading.kernel_history import KernelHistory
from labkit.grading.notebook_check import check, check_notebook, find_notebook
from labkit.grading.plain_backend import PlainBackend
from labkit.grading.sandbox import Bubblewrap, ContainerEngine
from labkit.grading.sandbox.kernel import CodeError, Kernel, Returned
from labkit.grading.visible_checks import FILE, write_checks
from tests.conditions import PATIENCE
from tests.unit.grading.notebooks import SOURCE, noted, write, write_assignment

RIGHT = "def double(x):\n    return FACTOR * x"
WRONG = "def double(x):\n    return 7"


@pytest.fixture(autouse=True)
def _no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_machine(self: object) -> None:
        raise SandboxUnavailable

    for kind in (Bubblewrap, ContainerEngine):
        monkeypatch.setattr(kind, "check", check_machine)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release of the small assignment, with a wrong answer to q1; where a student is."""
    source = write_assignment(tmp_path / "source")
    declared = source / "questions" / "q1.toml"
    declared.write_text(declared.read_text().replace("draws = 5", "visible = true\ncases = [[1], [4]]"))
    release = tmp_path / "double"
    release.mkdir()
    write_checks(read_assignment(source), release)
    answer(release, WRONG)
    monkeypatch.chdir(release)
    return release


def answer(release: Path, q1: str) -> None:
    write(release / "double.ipynb", [SOURCE[1], noted(q1, "q1", solution=True), *SOURCE[4:]])


def test_a_right_answer_passes_in_an_ordinary_process_and_that_is_said(folder: Path) -> None:
    answer(folder, RIGHT)
    report = check_notebook(folder / "double.ipynb", ["q1"])
    assert report.passed
    said = str(report)
    assert said.splitlines()[0].startswith("Run plainly on this computer, as there is no sandbox here")
    assert "The answers are those of double.ipynb as it was saved last." in said
    assert "passed: any number (2 points)" in said
    assert "2 of 2 points so far." in said


def test_a_notebook_shows_it_and_the_cell_has_no_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nbgrader takes the value of a cell of tests for points."""
    answer(folder, RIGHT)
    report = check("q1")
    shown: list[object] = []
    monkeypatch.setattr(notebook_check, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook_check, "show", shown.append)
    assert check("q1") is None
    assert [str(one) for one in shown] == [str(report)]


def test_a_wrong_one_is_told_in_words_and_fails_a_cell(folder: Path) -> None:
    with pytest.raises(ChecksFailed, match=r"double\(1\) returned 7, and 2\s+is right") as failed:
        check("q1")
    assert isinstance(failed.value, AssertionError)
    assert failed.value._render_traceback_() == [str(failed.value)]
    assert "failed: any number (2 points)" in str(failed.value)


def test_what_the_kernel_has_run_counts_and_what_the_file_lacks_is_said(folder: Path) -> None:
    report = check_notebook(folder / "double.ipynb", ["q1"], history=KernelHistory(["", "x = 1", RIGHT]))
    assert report.passed
    assert "double.ipynb has other text for q1 (you ran it as [2])" in report.taken
    same = check_notebook(folder / "double.ipynb", ["q1"], history=KernelHistory(["", WRONG]))
    assert not same.passed
    assert "you have run no others" in same.taken


def test_a_question_without_visible_checks_and_one_graded_by_hand_are_said(folder: Path) -> None:
    with pytest.raises(NotChecked, match="no question 'q2' to check; there are q1"):
        check("q2")
    with pytest.raises(NotChecked, match="q3 is graded by a person"):
        check("q3")


def test_an_answer_as_it_was_handed_out_was_not_run(folder: Path) -> None:
    answer(folder, "# YOUR CODE HERE\nraise NotImplementedError()")
    report = check_notebook(folder / "double.ipynb")
    assert not report.passed
    assert "The cell q1 is as it was handed out." in str(report)


@pytest.mark.parametrize(("content", "said"), [("{", "is damaged"), ("{}", "is JSON, but no notebook")])
def test_a_file_that_is_no_notebook_is_said(folder: Path, content: str, said: str) -> None:
    (folder / "double.ipynb").write_text(content)
    with pytest.raises(NotChecked, match=said):
        check("q1")


def test_the_notebook_is_found_or_asked_for(folder: Path, tmp_path: Path) -> None:
    assert find_notebook(Path()) == Path("double.ipynb")
    (folder / "scratch.ipynb").write_text("{}")
    assert find_notebook(Path()) == Path("double.ipynb")
    (folder / FILE).unlink()
    with pytest.raises(NotChecked, match=r"several notebooks in .*double.ipynb, scratch.ipynb"):
        find_notebook(Path())
    with pytest.raises(NotChecked, match="There is no notebook in"):
        find_notebook(tmp_path)
    with pytest.raises(NotChecked, match="No such file or directory"):
        check_notebook(tmp_path / "none.ipynb")


def test_the_student_is_who_the_notebook_says() -> None:
    assert notebook_check._student([], KernelHistory(["", "STUDENT = 'grace'"])) == "grace"
    assert notebook_check._student([], KernelHistory(["", "STUDENT = input()"])) is None


def test_an_ordinary_process_starts_in_its_folder_and_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    with Kernel(PlainBackend(tmp_path)) as kernel:
        assert kernel.run("import os\ndef where(): return os.getcwd(), len(os.environ) < 12", PATIENCE) == Returned(
            None
        )
        assert kernel.call("where", timeout=PATIENCE) == Returned([str(tmp_path), True])
        assert isinstance(kernel.run("1 / 0", PATIENCE), CodeError)
    with pytest.raises(NotChecked, match="takes the sandbox"):
        PlainBackend(tmp_path).start(["true"], sockets={1: tmp_path})

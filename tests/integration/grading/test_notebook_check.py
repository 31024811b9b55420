"""The visible checks of a student's notebook in the sandbox, and of how code behaves on the lab that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import LabNotRunning
from labkit.grading import lab_broker
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.check_errors import NotChecked
from labkit.grading.check_report import CheckReport
from labkit.grading.lab_broker import LabBroker
from labkit.grading.notebook_check import check_notebook
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.visible_checks import write_checks
from labkit.lab import Lab
from labkit.lab.connection import Connection
from labkit.taskqueue import connect
from tests.unit.grading.notebooks import noted, write

SOURCE = Path(__file__).parents[3] / "assignments" / "source"
PLANTED = Path(__file__).with_name("planted") / "a2_task_queue"


@pytest.fixture
def checked(sandbox: Bubblewrap, tmp_path: Path):
    def check(name: str, question: str, answer: str | None = None) -> CheckReport:
        """The model, or this answer to the question."""
        assignment = read_assignment(SOURCE / name)
        write_checks(assignment, tmp_path)
        cells = [
            noted(cell.source if answer is None else answer, cell.nbgrader.grade_id, solution=True)
            for cell in assignment.source
            if cell.nbgrader and cell.nbgrader.solution and (answer is None or cell.nbgrader.grade_id == question)
        ]
        return check_notebook(write(tmp_path / "mine.ipynb", cells), [question], sandbox=sandbox)

    return check


def test_values_are_checked_in_the_sandbox(checked) -> None:
    report = checked("a1_topics_and_producer", "q2")
    assert report.passed
    assert report.where == "Run in the sandbox, as the grader runs it."


@pytest.mark.parametrize(
    ("file", "said"), [(None, "2 of 2 points so far"), ("all_to_one_partition.py", "All 20 tasks")]
)
def test_behaviour_is_checked_on_the_running_lab_and_leaves_nothing_there(
    checked, lab: Lab, monkeypatch: pytest.MonkeyPatch, file: str | None, said: str
) -> None:
    used: list[str] = []
    clear = LabBroker.clear
    monkeypatch.setattr(lab_broker, "attach_lab", lambda: lab)
    monkeypatch.setattr(LabBroker, "clear", lambda *words: used.append(words[1]) or clear(*words))
    report = checked("a2_task_queue", "q1", None if file is None else (PLANTED / "q1" / file).read_text())
    assert report.passed is (file is None)
    assert said in str(report)
    with connect(lab, prefix="") as topics:
        assert used
        assert not set(used) & set(topics.names())


def test_without_a_lab_that_will_do_it_says_so(checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def attach() -> Lab:
        raise LabNotRunning

    monkeypatch.setattr(lab_broker, "attach_lab", attach)
    with pytest.raises(LabNotRunning, match="labkit up"):
        checked("a2_task_queue", "q1")
    for servers in ("kafka.example:9092", "127.0.0.1:9092,127.0.0.1:9093"):
        with pytest.raises(NotChecked, match="a lab of one broker on this machine"):
            LabBroker(Connection(bootstrap_servers=servers))

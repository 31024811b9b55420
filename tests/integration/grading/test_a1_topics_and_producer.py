"""The first assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.grader import Grader, Report
from labkit.grading.lab_broker import LabBroker
from labkit.grading.sandbox import Bubblewrap
from labkit.lab.lab import Lab
from tests.integration.grading.assignment_source import SECRET, SOURCE, tried_out
from tests.integration.grading.shared_broker import SharedBroker

FOLDER = SOURCE / "a1_topics_and_producer"
NOTEBOOK = FOLDER / f"{FOLDER.name}.ipynb"
#: One wrong answer to each question, and what it is told; only the process itself shows that `hash` is salted.
WRONG = {
    "q1": ("def partition_of(key, partitions): return hash(key) % partitions", "changes from process to process"),
    "q2": ("def split_keys(log): return sorted({key for key, home in log if home > 0})", "a short log"),
    "q3": ("homes = {'before': dict.fromkeys(my_keys, 0), 'after': 1 / 0}", "cell failed"),
    "q4": ("share_moved = BEFORE / AFTER", "ratio of the sizes"),
    "q5": (
        "def send_all(servers, topic, records): return [(0, number) for number in range(24)]",
        "task not on the topic",
    ),
}

Grade = Callable[[Path], Report]


class ClearedBroker(SharedBroker):
    """Deletes what a run has left, since the next one of the same student has the same names."""

    def clear(self, topic: str, group: str) -> None:
        LabBroker(self.connection).clear(topic, group)


@pytest.fixture
def grade(sandbox: Bubblewrap, lab: Lab) -> Grade:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET, brokers=ClearedBroker(lab))
    return lambda file: grader.grade(file, student="ada")


def cells(**answers: str) -> dict[str, Any]:
    """The model's notebook, but for these answers."""
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        cell["source"] = answers.get(name, cell["source"])
    return notebook


@pytest.mark.long
@pytest.mark.slow
def test_the_model_has_full_marks_and_always_the_same_report(grade: Grade) -> None:
    report = grade(NOTEBOOK)
    assert [verdict.state for verdict in report.verdicts] == ["right"] * 5 + ["by hand"]
    assert (report.points, report.possible, report.notes) == (21, 24, ())
    assert grade(NOTEBOOK) == report


@pytest.mark.slow
def test_each_wrong_answer_is_named(grade: Grade, tmp_path: Path) -> None:
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps(cells(**{name: answer for name, (answer, _) in WRONG.items()})))
    report = grade(file)
    assert report.points == 0
    assert [verdict.feedback[0].mistake for verdict in report.verdicts[:5]] == [said for _, said in WRONG.values()]
    again = grade(file)
    assert (again.points, again.verdicts[:4]) == (0, report.verdicts[:4])  # a run says when something happened


def test_the_broker_agrees_with_the_model(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out: what they assert of the broker holds."""
    names = tried_out(FOLDER, lab, monkeypatch)
    assert names["log"][0][0] == names["my_keys"][0]

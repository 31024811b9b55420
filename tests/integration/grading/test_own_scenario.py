"""The scenario of `docs/extensions.md`, which is in a module of somebody else's, played in the sandbox."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.errors import GradingFailed
from labkit.grading.behaviour.mistakes import UNKNOWN_TASK
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.questions import Question, read_question
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.lab import Lab
from tests.integration.grading.shared_broker import SharedBroker

PAGE = (Path(__file__).parents[3] / "docs" / "extensions.md").read_text()
((MODULE, TEXT),) = re.findall(r"```python\n# (calm\.py)\n(.*?)```", PAGE, re.DOTALL)
(QUESTION,) = re.findall(r"```toml\n(kind = .*?)```", PAGE, re.DOTALL)

QUIET = "def send_tasks(bootstrap_servers, topic, tasks): ..."
EAGER = """
from kafka import KafkaProducer

def send_tasks(bootstrap_servers, topic, tasks):
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    producer.send(topic, b"a task of my own").get(30)
    producer.close()
"""


@pytest.fixture
def question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Question]:
    (tmp_path / MODULE).write_text(TEXT + "\n\ndef play_wrongly(run):\n    run.no_such_means()\n")
    (tmp_path / "q1.toml").write_text(QUESTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield read_question(tmp_path / "q1.toml")
    sys.modules.pop(MODULE.removesuffix(".py"), None)


def judged(question: Question, cell: str, sandbox: Bubblewrap, lab: Lab) -> QuestionVerdict:
    with SandboxedSolution(
        sandbox, [(None, cell)], student="ada", seed=uuid4().hex, brokers=SharedBroker(lab)
    ) as solution:
        return question.judge(solution)


def test_who_keeps_to_it_has_the_points_and_who_does_not_is_told(
    question: Question, sandbox: Bubblewrap, lab: Lab
) -> None:
    assert judged(question, QUIET, sandbox, lab).state == "right"
    wrong = judged(question, EAGER, sandbox, lab)
    assert (wrong.points, wrong.feedback[0].mistake, wrong.feedback[0].task) == (0, UNKNOWN_TASK, "a task of my own")


def test_an_error_in_it_is_no_student_s(question: Question, sandbox: Bubblewrap, lab: Lab) -> None:
    file = question.file
    file.write_text(QUESTION.replace("play_nothing", "play_wrongly"))
    with pytest.raises(GradingFailed, match=r"'calm:play_wrongly' raised AttributeError: .*calm\.py, line"):
        judged(read_question(file), QUIET, sandbox, lab)

"""`labkit check`: one paragraph and a status for whatever is in its way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from labkit.cli import check_command, main
from labkit.grading import notebook_check
from labkit.grading.check_report import CheckedQuestion, CheckReport
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.questions.claim_question import ClaimQuestion


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def type_in(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["labkit", "check", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return type_in


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "There is no notebook in"), (["none.ipynb"], "No such file"), (["broken.ipynb"], "is damaged")],
)
def test_a_notebook_that_is_none_is_said_in_one_paragraph(check, tmp_path: Path, words: list[str], said: str) -> None:
    if words:
        (tmp_path / "broken.ipynb").write_text("{")
    status, out, err = check(*words)
    assert status == 1
    assert out == ""
    assert err.startswith("labkit: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("state", "status"), [("right", 0), ("wrong", 1)])
def test_the_status_tells_whether_all_have_passed(
    check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, status: int
) -> None:
    question = ClaimQuestion(file=Path("q1.toml"), title="Share", points=2, minutes=1, claim="share", checks=())
    verdict = QuestionVerdict(question="q1", state=state, points=0, possible=0)
    checked = CheckedQuestion(question=question, verdict=verdict, points=2)
    asked = []

    def check_notebook(notebook: Path, names: list[str]) -> CheckReport:
        asked.append((notebook, names))
        return CheckReport(where="There.", taken="These.", questions=(checked,))

    monkeypatch.setattr(notebook_check, "check_notebook", check_notebook)
    (tmp_path / "a.ipynb").write_text("{}")
    came, out, err = check("--question", "q1")
    assert (came, err) == (status, "")
    assert asked == [(Path("a.ipynb"), ["q1"])]
    assert out.startswith("There.\nThese.\n\nq1: Share\n")
    assert ("share is there, and can be graded." in out) is (state == "right")


def test_a_figure_that_cannot_be_saved_is_said_before_anything_is_run(check) -> None:
    for words, said in ((["--figure", "a.doc"], "one of .png, .svg, .pdf"), (["--figure", "no/a.png"], "no folder no")):
        status, out, err = check(*words)
        assert (status, out) == (1, "")
        assert said in err


def test_figures_are_saved_and_where_there_is_none_that_is_said(tmp_path: Path, capsys) -> None:
    check_command._save({}, tmp_path / "a.png")
    assert "There is no figure" in capsys.readouterr().out
    check_command._save({"q2": Figure()}, tmp_path / "a.png")
    check_command._save({"q2": Figure(), "q3": Figure()}, tmp_path / "b.png")
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "b-q2.png", "b-q3.png"}

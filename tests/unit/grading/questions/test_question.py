"""A declaration is read whole, or one sentence says what is wrong with which file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from labkit.errors import BadAssignment
from labkit.grading.questions import QUESTION_KINDS, Question, read_question

WHOLE = """
kind = "plain"
title = "Where a key goes"
points = 3
minutes = 10

[[checks]]
name = "fixed keys"
points = 1
visible = true
mistake = "A key goes elsewhere."

[[checks]]
name = "any keys"
points = 2
mistake = "Some keys go elsewhere."
hint = "Mind the sign."
"""


class PlainQuestion(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ClassVar[str] = "plain"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUESTION_KINDS, "plain", PlainQuestion)


def written(folder: Path, text: str, name: str = "q1.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_declaration_is_read(tmp_path: Path) -> None:
    question = read_question(written(tmp_path, WHOLE))
    assert (question.id, question.title, question.points) == ("q1", "Where a key goes", 3)
    assert [check.visible for check in question.checks] == [True, False]
    assert question.checks[1].feedback().hint == "Mind the sign."


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("points = 3", "points = 4", "it is worth 4 points, and its checks 3 together"),
        (WHOLE[WHOLE.index("[[checks]]") :], "", "it is worth 3 points, and its checks 0 together"),
        ("points = 3", "", "it missing required field `points`"),
        ("points = 3", "points = 0", "`points`"),
        ("points = 2", "points = 'two'", "Expected `float`, got `str` - at `checks[1].points`"),
        ("any keys", "fixed keys", "there are two checks 'fixed keys'"),
        ("minutes = 10", "minutes = 10\nmintes = 1", "it contains unknown field `mintes`"),
        ("minutes = 10", "minutes = 10\nfile = 'x'", "no field `file`"),
        ('"plain"', '"plane"', "has the kind 'plane'; there are "),
        ("hint =", "hint", "is no TOML"),
        ("A key goes elsewhere.", "x" * 601, "length <= 600"),
    ],
)
def test_a_mistake_is_told_with_the_file_s_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    file = written(tmp_path, WHOLE.replace(old, new, 1))
    with pytest.raises(BadAssignment) as error:
        read_question(file)
    assert str(file) in str(error.value)
    assert said in str(error.value)


def test_a_name_that_can_be_no_cell_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadAssignment, match="its name is the grade_id of a cell"):
        read_question(written(tmp_path, WHOLE, "Q 1.toml"))


def test_a_file_that_is_not_there_or_is_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadAssignment, match="cannot be read"):
        read_question(tmp_path / "q1.toml")
    (tmp_path / "q2.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadAssignment, match=r"is no TOML: .*utf-8"):
        read_question(tmp_path / "q2.toml")


def test_functions_come_from_the_python_file_beside_it(tmp_path: Path) -> None:
    question = read_question(written(tmp_path, WHOLE))
    with pytest.raises(BadAssignment, match=r"needs q1\.py beside it"):
        question.code()
    written(tmp_path, "1 / 0", "q1.py")
    with pytest.raises(BadAssignment, match=r"q1\.py raises ZeroDivisionError: division by zero"):
        question.code()
    written(tmp_path, "def answer(x):\n    return 2 * x\ntable = 3", "q1.py")
    module = question.code()
    assert question.function(module, "answer")(4) == 8
    for name in ("table", "missing"):
        with pytest.raises(BadAssignment, match=rf"q1\.py defines no function {name}"):
            question.function(module, name)

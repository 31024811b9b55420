"""What a function returns is compared with a model; a mistake is named where its answers are those of a known one."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import BadAssignment
from labkit.grading.questions import Question, read_question
from tests.unit.grading.local_solution import LocalSolution

DECLARED = """
kind = "value"
title = "Who is served next"
points = 3
minutes = 5
function = "pick"

[[checks]]
name = "fixed ones"
points = 1
visible = true
cases = [[7, 2], [-7, 2]]
mistake = "A number goes elsewhere."

[[checks]]
name = "any number"
points = 2
draws = 20
mistake = "Some numbers go elsewhere."
hint = "Try negative ones."

[[mistakes]]
name = "truncated"
answer = "truncated"
sentence = "The remainder has the sign of the number."

[[mistakes]]
name = "not a number"
answer = "fails"
sentence = "It fails for negative numbers."

[[mistakes]]
name = "remembers"
differs = "between calls"
sentence = "The answer depends on what was asked before."

[[mistakes]]
name = "salted"
differs = "between processes"
sentence = "Each process has answers of its own."
"""
FUNCTIONS = """
import math

def draw(rng):
    return rng.randrange(-1000, 1000), rng.randrange(2, 9)

def answer(number, count):
    return number % count

def truncated(number, count):
    return int(math.fmod(number, count))

def fails(number, count):
    if number < 0:
        raise ValueError("negative")
    return number % count
"""


@pytest.fixture
def question(tmp_path: Path) -> Question:
    return declare(tmp_path)


def declare(folder: Path, old: str = "", new: str = "") -> Question:
    assert old in DECLARED
    (folder / "q1.toml").write_text(DECLARED.replace(old, new) if old else DECLARED)
    (folder / "q1.py").write_text(FUNCTIONS)
    return read_question(folder / "q1.toml")


def test_a_right_answer_has_full_marks(question: Question) -> None:
    verdict = question.judge(LocalSolution("def pick(number, count): return number % count"))
    assert (verdict.state, verdict.points, verdict.possible, verdict.feedback) == ("right", 3, 3, ())


@pytest.mark.parametrize(
    ("code", "points", "name", "said"),
    [
        ("import math\ndef pick(n, c): return int(math.fmod(n, c))", 0, "truncated", "has the sign of the number"),
        ("def pick(n, c):\n  if n < 0: raise ValueError(n)\n  return n % c", 0, "not a number", "It fails"),
        ("def pick(n, c, seen=[]): seen.append(n); return len(seen) % c", 0, "remembers", "depends on what was"),
        ("def pick(n, c): return hash(str(n)) % 10**6", 0, "salted", "answers of its own"),
        ("def pick(n, c): return n % c if abs(n) < 8 else 0", 1, "any number", "Some numbers go elsewhere. pick("),
        ("def pick(n, c): return 2 * n", 0, "fixed ones", "pick(7, 2) returned 14, and 1 is right."),
        ("def pick(n, c): return 1", 0, "always the same", "pick returned 1, whatever it was asked."),
        ("def pick(n, c): return n", 0, "always the same", "pick returned its 1. argument, whatever it was asked."),
        ("def pick(n, c): return float(n % c)", 0, "fixed ones", "returned 1.0, and 1 is right"),
        ("def pick(n): return n", 0, "error", "pick(7, 2) raised an error in line 1: TypeError:"),
        ("def pick(n, c): return {n}", 0, "error", "a set"),
        ("pick = 3", 0, "no value", "define nothing by the name of pick"),
        ("def pick(n, c): end()", 0, "no value", "It has exited."),
        ("def pick(n, c): hang()", 0, "no value", "It had not returned when the question's time, 20 s, was over."),
    ],
)
def test_a_wrong_answer_is_told_why(question: Question, code: str, points: float, name: str, said: str) -> None:
    verdict = question.judge(LocalSolution(code))
    assert verdict.points == points
    assert verdict.feedback[0].mistake == name, verdict.feedback
    assert said in verdict.feedback[0].sentence


def test_what_was_asked_before_the_process_ended_counts(question: Question) -> None:
    verdict = question.judge(LocalSolution("def pick(n, c): return n % c if abs(n) < 8 else end()"))
    assert (verdict.state, verdict.points) == ("partial", 1)


def test_the_calls_share_the_question_s_time(question: Question) -> None:
    solution = LocalSolution("def pick(n, c):\n  later()\n  return n % c")

    def later() -> None:
        solution.time += question.timeout / 2

    solution.names["later"] = later
    verdict = question.judge(solution)
    assert verdict.points == 1
    assert verdict.feedback[0].mistake == "out of time"


def test_large_answers_are_not_gathered(question: Question) -> None:
    verdict = question.judge(LocalSolution("def pick(n, c): return n % c if abs(n) < 8 else 'x' * 900_000"))
    assert verdict.points == 1
    assert len(verdict.feedback[0].sentence) < 300
    later = LocalSolution("calls = []\ndef pick(n, c):\n  calls.append(n)\n  return 'x' * 900_000")
    question.judge(later)
    assert len(later.names["calls"]) < 22


def test_a_hidden_check_does_not_tell_the_right_answer(question: Question) -> None:
    verdict = question.judge(LocalSolution("def pick(n, c): return n % c if abs(n) < 8 else -77"))
    assert verdict.feedback[0].sentence.endswith("returned -77.")


def test_the_same_student_is_asked_the_same_again_and_another_is_not(question: Question) -> None:
    code = "def pick(n, c): return n % c if abs(n) < 8 else -77"
    first, again, other = (question.judge(LocalSolution(code, student=name)) for name in ("ada", "ada", "grace"))
    assert first == again != other


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("draws = 20", "", "the check 'any number' has neither cases nor draws"),
        ("draws = 20", "draws = 20\ndraw = 'drawn'", r"q1\.py defines no function drawn"),
        ('answer = "fails"', 'answer = "missing"', r"q1\.py defines no function missing"),
        ('answer = "fails"', "", "'not a number' needs one of answer and differs"),
        ('"truncated"\nanswer', '"salted"\nanswer', "there are two mistakes 'salted'"),
        ('function = "pick"', "", "missing required field `function`"),
        ("[-7, 2]", "-7", "Expected `array`, got `int`"),
    ],
)
def test_a_declaration_that_cannot_be_asked_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(BadAssignment, match=said):
        declare(tmp_path, old, new)

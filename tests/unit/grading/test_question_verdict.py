"""A verdict adds up, crosses processes as JSON, and stays small and printable whatever a student has written."""

from __future__ import annotations

from msgspec import json

from labkit.grading.question_verdict import MAX_FEEDBACK, MAX_NAME, MAX_TEXT, Feedback, QuestionVerdict, quoted

LOST = Feedback("lost task", "A task was lost.", "Commit after the work.", task="t-1", who="worker-1", at=1.5)


def test_points_add_up_as_people_add() -> None:
    verdict = QuestionVerdict.of_checks("q1", [(0.1, True), (0.2, True), (1, False)], [LOST])
    assert (verdict.state, verdict.points, verdict.possible) == ("partial", 0.3, 1.3)
    assert verdict.feedback == (LOST,)


def test_all_none_and_some() -> None:
    assert QuestionVerdict.of_checks("q1", [(1, True), (2, True)], []).state == "right"
    assert QuestionVerdict.of_checks("q1", [(1, False), (2, False)], []).state == "wrong"
    assert QuestionVerdict.not_run("q1", 3, LOST).points == 0
    assert QuestionVerdict.by_hand("q1", 3).possible == 3


def test_it_comes_back_from_json_as_it_was() -> None:
    verdict = QuestionVerdict.of_checks("q1", [(1, True), (2, False)], [LOST, Feedback("other", "Another sentence.")])
    assert json.decode(json.encode(verdict), type=QuestionVerdict) == verdict


def test_one_thing_is_said_once_and_there_is_an_end_of_it() -> None:
    assert QuestionVerdict.of_checks("q1", [(1, False)], [LOST, LOST]).feedback == (LOST,)
    many = [Feedback("lost task", f"Task {number} was lost.") for number in range(1000)]
    assert len(QuestionVerdict.of_checks("q1", [(1, False)], many).feedback) == MAX_FEEDBACK


def test_texts_are_cut_off_and_can_be_printed() -> None:
    said = Feedback("n" * 5_000, "a\x1b[2J\ud800\u202eb\n" + "x" * 10**6, task="t" * 500)
    assert (len(said.mistake), len(said.sentence), len(said.task or "")) == (MAX_NAME, MAX_TEXT, MAX_NAME)
    assert said.sentence.startswith("a�[2J��b x")
    assert json.decode(json.encode(said), type=Feedback) == said


def test_values_are_shortened() -> None:
    deep: list[object] = [{"a": [[["x" * 10**6]]], "b": "\ud800"}, *range(10**5)]
    assert len(quoted(deep)) <= 200
    assert quoted({"a": 1}) == "{'a': 1}"
    assert quoted(10**60).isprintable()

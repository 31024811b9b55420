"""What crosses computers is what was put there, or nothing; and nothing in it leads elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.errors import BadAssignment, GradingFailed
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.remote import graded_work
from labkit.grading.remote import grader_version as grader_version_module
from labkit.grading.remote.graded_work import (
    AssignmentPack,
    SubmittedWork,
    digest_of_work,
    put_work,
    take_work,
)
from labkit.grading.remote.grader_version import grader_version
from tests.unit.grading.notebooks import write_assignment
from tests.unit.grading.remote.fakes import Files


def test_an_assignment_arrives_as_it_was(tmp_path: Path) -> None:
    source = write_assignment(tmp_path / "source")
    (source / "questions" / "__pycache__").mkdir()
    pack, files = AssignmentPack.of(source), Files(tmp_path / "files")
    put_work(files, pack)
    arrived = take_work(files, AssignmentPack, digest_of_work(AssignmentPack.of(source))).unpack(tmp_path / "there")
    sent, got = read_assignment(source), read_assignment(arrived)
    assert (got.name, got.source, got.release) == (sent.name, sent.source, sent.release)
    assert [question.id for question in got.questions] == [question.id for question in sent.questions]


def test_a_submission_has_the_seed_and_not_the_secret(tmp_path: Path) -> None:
    secret = CourseSecret(b"of the course")
    work = SubmittedWork(student="ada", seed=secret.seed("double", "ada"), notebook=b"\xff\0{")
    files = Files(tmp_path / "files")
    put_work(files, work)
    taken = take_work(files, SubmittedWork, digest_of_work(work))
    assert taken == work
    assert taken.secret.seed("double", "ada") == secret.seed("double", "ada")
    (file,) = files.folder.glob("*.json")
    assert b"of the course".hex().encode() not in file.read_bytes()


def test_a_digest_tells_of_every_change() -> None:
    work = SubmittedWork(student="ada", seed="s", notebook=b"n")
    others = [
        SubmittedWork(student="ben", seed="s", notebook=b"n"),
        SubmittedWork(student="ada", seed="t", notebook=b"n"),
    ]
    others.append(SubmittedWork(student="ada", seed="s", notebook=b"m"))
    assert len({digest_of_work(one) for one in (work, *others)}) == 4


def test_what_is_not_what_its_name_says_is_none(tmp_path: Path) -> None:
    files, work = Files(tmp_path / "files"), SubmittedWork(student="ada", seed="s", notebook=b"n")
    put_work(files, work)
    (file,) = files.folder.glob("*.json")
    for content in (file.read_bytes()[:-1], file.read_bytes().replace(b"ada", b"eve")):
        file.write_bytes(content)
        with pytest.raises(GradingFailed, match="or a damaged one"):
            take_work(files, SubmittedWork, digest_of_work(work))
        put_work(files, work)  # who sends it again mends it
        assert take_work(files, SubmittedWork, digest_of_work(work)) == work


def test_what_is_too_large_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, work = Files(tmp_path / "files"), SubmittedWork(student="ada", seed="s", notebook=b"n" * 100)
    monkeypatch.setitem(graded_work._KINDS, SubmittedWork, ("submission", 100))
    with pytest.raises(GradingFailed, match="only 100 can be sent"):
        put_work(files, work)
    assert list(files.folder.glob("*.json")) == []


@pytest.mark.parametrize("place", ["../x", "/x", "..", "questions/..", "questions/a/b", "a\0b", "", "questions/"])
def test_nothing_is_unpacked_elsewhere(tmp_path: Path, place: str) -> None:
    for pack in (AssignmentPack(name="a", files={place: b""}), AssignmentPack(name=place, files={})):
        with pytest.raises(BadAssignment, match="it has a file"):
            pack.unpack(tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_the_version_is_that_of_the_modules() -> None:
    number, _, digest = grader_version().partition("+")
    assert number
    assert len(digest) == 8


@pytest.mark.parametrize("other", ["python", "numpy", "kafka-python"])
def test_the_version_is_another_one_where_python_or_a_package_is(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    here, version = grader_version.__wrapped__(), grader_version_module.version
    if other == "python":
        monkeypatch.setattr(grader_version_module, "sys", SimpleNamespace(version_info=(3, 99, 0)))
    else:
        monkeypatch.setattr(grader_version_module, "version", lambda name: "99" if name == other else version(name))
    assert grader_version.__wrapped__() != here

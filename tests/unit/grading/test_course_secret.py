"""The secret of a course is made once, for its owner's eyes only, and whatever else is refused with a reason."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from labkit.errors import BadAssignment, BadCourseSecret
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import FILE, make_secret, read_secret
from labkit.grading.sandbox import mounts
from tests.unit.grading.notebooks import write_assignment

ROOT = Path(__file__).parents[3]


def test_it_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = make_secret(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    text = (tmp_path / FILE).read_text()
    for found in (make_secret(tmp_path), read_secret(tmp_path)):
        assert found.seed("a1", "ada") == made.seed("a1", "ada")
    assert (tmp_path / FILE).read_text() == text
    assert text.strip() not in repr(made)


def test_what_is_drawn_follows_from_the_secret_the_assignment_and_the_student(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = make_secret(tmp_path), make_secret(tmp_path / "other")
    names = [("a1", "ada"), ("a1", "grace"), ("a2", "ada"), ("a", "1/ada"), ("a/1", "ada")]
    seeds = [secret.seed(*pair) for secret in (one, other) for pair in names]
    assert len(set(seeds)) == len(seeds)


def _open_to_others(file: Path) -> None:
    file.chmod(0o640)


def _half(file: Path) -> None:
    file.write_text("ab" * 16)


def _words(file: Path) -> None:
    file.write_text("x" * 64)


def _elsewhere(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to(file.with_name("other"))


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "The course has no secret"),
        (_open_to_others, "chmod 600"),
        (_half, "does not hold 64 hexadecimal figures"),
        (_words, "does not hold 64 hexadecimal figures"),
        (_elsewhere, "cannot be read"),
        (_pipe, "no ordinary file"),
    ],
)
def test_what_is_none_is_refused_and_left_as_it_is(tmp_path: Path, change, said: str) -> None:
    make_secret(tmp_path)
    change(tmp_path / FILE)
    with pytest.raises(BadCourseSecret, match=said):
        read_secret(tmp_path)
    if change is not Path.unlink:
        with pytest.raises(BadCourseSecret, match=said):
            make_secret(tmp_path)


def test_nothing_of_a_course_lies_where_student_code_may_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_assignment(tmp_path / "course")
    make_secret(tmp_path / "course")
    (tmp_path / "name").symlink_to(tmp_path / "course")
    monkeypatch.setattr(mounts, "SYSTEM", (str(tmp_path / "name"),))
    with pytest.raises(BadCourseSecret, match="which student code may read"):
        read_secret(tmp_path / "course")
    with pytest.raises(BadAssignment, match="which student code may read"):
        read_assignment(folder)


def test_the_folders_of_python_are_shown_and_this_one_is_not(tmp_path: Path) -> None:
    assert mounts.folder_shown(Path(sys.prefix) / "course") is not None
    assert mounts.folder_shown(Path("/usr/src/app")) == Path("/usr")
    assert mounts.folder_shown(tmp_path) is None


def test_it_is_neither_committed_nor_released() -> None:
    assert FILE in (ROOT / ".gitignore").read_text().splitlines()  # without a slash: in whatever folder
    assert f'"{FILE}"' in (ROOT / "assignments" / "nbgrader_config.py").read_text()

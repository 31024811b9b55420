"""Whose a folder in the drop box is, by who owns it."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.course.folder_owner import FolderOwners, owner_of, read_owners

KEEPER, BOB, MALLORY, EVE = 0, 1, 2, 3


def owners(*folders: tuple[str, int], **logins: int) -> FolderOwners:
    names = {number: name for name, number in logins.items()}
    return FolderOwners(KEEPER, folders, lambda owner: names.get(owner, ""))


def test_who_owns_the_drop_box_may_put_in_what_is_of_others() -> None:
    assert owners(("bob", KEEPER), ("ada", KEEPER)).may_be_of("bob", KEEPER)


@pytest.mark.parametrize(
    "folders",
    [
        [("bob", BOB)],
        [("bob", BOB), ("bob", BOB), ("bob", KEEPER)],
        [("bob", BOB), ("ada", BOB)],  # where all students are one user
        [("bob", BOB), ("bob", MALLORY), ("mallory", MALLORY)],
    ],
)
def test_a_folder_like_the_others_of_the_student_is_theirs(folders: list[tuple[str, int]]) -> None:
    assert owners(*folders).may_be_of("bob", BOB)


@pytest.mark.parametrize(
    ("folders", "logins"),
    [
        ([("bob", BOB), ("bob", MALLORY), ("mallory", MALLORY)], {}),
        ([("bob", BOB), ("bob", MALLORY), ("bob", MALLORY)], {"bob": BOB}),
        ([("bob", MALLORY), ("mallory", MALLORY)], {"mallory": MALLORY}),
        ([("bob", BOB), ("bob", EVE), ("bob", MALLORY)], {}),
        ([("bob", BOB), ("bob", MALLORY)], {}),  # whose is not known
    ],
)
def test_one_of_somebody_else_is_not(folders: list[tuple[str, int]], logins: dict[str, int]) -> None:
    assert not owners(*folders, **logins).may_be_of("bob", MALLORY)


def test_a_student_who_is_called_like_the_owner_needs_no_other_folder() -> None:
    told = owners(("bob", BOB), ("bob", MALLORY), ("bob", MALLORY), ("ada", BOB), bob=BOB)
    assert told.may_be_of("bob", BOB)


def test_the_owners_are_read_from_the_drop_box(tmp_path: Path) -> None:
    (tmp_path / "bob").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "bob")
    asked: list[str] = []
    told = read_owners(tmp_path, lambda name: asked.append(name) or name)
    assert sorted(asked) == ["bob", "file", "link"]
    assert told.may_be_of("bob", owner_of(tmp_path))

"""Whose a folder in the drop box of nbgrader's exchange may be, by who owns it.

Students write into `inbound` themselves, and under any name. nbgrader 0.9.6 compares owner and student, too, and only
logs what it finds (exchange/default/collect.py); here one that cannot be the student's is not taken.
"""

from __future__ import annotations

import os
import pwd
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def owner_of(path: Path) -> int:
    """The number of the user who owns it; a link is not followed. Raises `OSError`."""
    return path.lstat().st_uid


def login_of(owner: int) -> str:
    """The name of this user; nothing where this computer does not know it."""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return ""


class FolderOwners:
    """Tells the folders of a student from those that others have put there: `folders` are all, each with the student
    whom its name tells and its owner, and `keeper` owns the drop box.
    """

    def __init__(self, keeper: int, folders: Iterable[tuple[str, int]], login: Callable[[int], str] = login_of) -> None:
        self._keeper = keeper
        self._login = login
        self._owners: defaultdict[str, set[int]] = defaultdict(set)
        self._students: defaultdict[int, set[str]] = defaultdict(set)
        for student, owner in folders:
            if owner != keeper:
                self._owners[student].add(owner)
                self._students[owner].add(student)

    def may_be_of(self, student: str, owner: int) -> bool:
        """Whether a folder that bears the student's name and has this owner may be theirs.

        It is where the owner is the keeper, or is called like the student. Else all folders of the student must have
        one owner, who is not called like another student; of several, it is the one who has folders of nobody else.
        """
        if owner == self._keeper or self._login(owner) == student:
            return True
        owners = self._owners[student] | {owner}
        if self._login(owner) in self._owners or any(self._login(other) == student for other in owners):
            return False
        return len(owners) == 1 or {one for one in owners if self._students[one] <= {student}} == {owner}


def read_owners(inbound: Path, student_of: Callable[[str], str | None]) -> FolderOwners:
    """Who owns what in this drop box; `student_of` tells whom the name of a folder tells. Raises `OSError`."""
    named: list[tuple[str, int]] = []
    with os.scandir(inbound) as entries:
        for entry in entries:
            student = student_of(entry.name)
            if student is not None and entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError):  # its student has just taken it back
                    named.append((student, owner_of(Path(entry.path))))
    return FolderOwners(owner_of(inbound), named)

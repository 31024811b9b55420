"""Who the students of a course are, as its gradebook lists them (`nbgrader db student import`)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from labkit.grading.course.campus_name import CampusName, composed, letters_of

#: The id of a student: the name of a folder, in which nbgrader looks for no pattern.
_ID = re.compile(r"[^\W_][^/\\\0-\x1f*?\[\]{}+:]{0,99}")
#: How long an id may be, in bytes: the name of a file has 255, and that of a report while it is written is the longest.
MOST_BYTES = 255 - len(".json.0123456789ab.part")


class ListedStudent(NamedTuple):
    """A student of the gradebook; `number` is the one that the campus system counts by (`lms_user_id`)."""

    id: str
    first_name: str = ""
    last_name: str = ""
    number: str = ""


class StudentRoster:
    """Finds the id of a student by what a campus system calls them."""

    def __init__(self, students: Iterable[ListedStudent]) -> None:
        self._ids: dict[str, str] = {}
        self._numbered: set[str] = set()
        self._by_number: dict[str, str] = {}
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)
        for student in students:
            self._ids[composed(student.id)] = student.id
            if student.number:
                self._numbered.add(student.id)
                self._by_number[student.number] = student.id
            if student.first_name or student.last_name:
                for name in (student.first_name + student.last_name, student.last_name + student.first_name):
                    self._by_name[letters_of(name)].add(student.id)

    @property
    def is_list(self) -> bool:
        """Whether students were listed, so that one who is not is news; others come by being graded."""
        return bool(self._by_number or self._by_name)

    def lists(self, student: str) -> bool:
        """Whether there is a student of this id."""
        return composed(student) in self._ids

    def id_of(self, text: str) -> str:
        """The id that this is, as the gradebook writes it."""
        return self._ids.get(composed(text), composed(text))

    def ids_of(self, name: CampusName) -> list[str]:
        """Who that may be. Canvas' number says it for sure; Moodle's is another one in each assignment. A name with a
        number of Canvas' that is not listed is of no student who has another one. Where no listed student bears the
        name, the id is Canvas' number, or the name in small letters with _ between the words.
        """
        if name.system == "nbgrader":
            return [self.id_of(name.person)]
        if name.system == "Canvas" and name.number in self._by_number:
            return [self._by_number[name.number]]
        found = self._by_name.get(letters_of(name.person), set[str]())
        if name.system == "Canvas":
            found = found - self._numbered
        if found:
            return sorted(found)
        return [self.id_of(name.number if name.system == "Canvas" else "_".join(name.person.casefold().split()))]


def is_student_id(text: str) -> bool:
    """Whether a student may have this id."""
    return (
        _ID.fullmatch(text) is not None
        and text.isprintable()
        and text == text.strip()
        and len(text.encode()) <= MOST_BYTES
    )

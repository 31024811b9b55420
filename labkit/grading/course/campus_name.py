"""Whose a file is, by the names that campus systems and nbgrader's exchange give to files and folders.

Moodle (mod/assign/locallib.php, download_submissions), with a folder for each student or without:

    Ada Lovelace_12345_assignsubmission_file_/a1.ipynb
    Ada Lovelace_12345_assignsubmission_file_a1.ipynb

The number is Moodle's for one assignment only, so the name is what lasts. Canvas (lib/submission_list, the zip of all
submissions); the first number is Canvas' id of the user, and one of a later file is larger:

    lovelaceada_LATE_4242_98765_a1-1.ipynb

nbgrader's exchange (exchange/default/submit.py): `ada+a1+2026-11-28 10:00:00.123456 UTC+random/a1.ipynb`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from labkit.grading.course.submission_time import timestamp_of

#: The folder of nbgrader's exchange into which students hand in.
INBOUND = "inbound"

_MOODLE = re.compile(r"(?P<name>[^_].*?)_(?P<number>\d+)_assignsubmission_(?P<what>[a-z]+)(?:_(?P<file>.*))?")
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<number>\d+)_(?P<attachment>\d+)_(?P<file>.+)")
_COPY = re.compile(r"(?: ?\(\d+\)|-\d+)$")


class CampusName(NamedTuple):
    """What the names say: whose it is (`person` as the system writes it, `number` as it counts them), which of several
    files is the later one, and when it came, if they tell.
    """

    system: str
    person: str
    number: str
    file: str
    attachment: int = 0
    late: bool = False
    timestamp: datetime | None = None


def campus_name(path: PurePosixPath, assignment: str) -> CampusName | None:
    """What the path of a file says; nothing if no system names files so.

    Only the outermost part of it counts, or the one in `inbound`: the names further inside are the student's to choose.
    A submission of another assignment in nbgrader's exchange has no `file`.
    """
    *folders, file = (composed(part) for part in path.parts)
    if not folders:
        return _moodle(file, None) or _canvas(file)
    if folders[0] == INBOUND and len(folders) > 1:
        return _exchange(folders[1], file, assignment)
    return _moodle(folders[0], file) or _exchange(folders[0], file, assignment)


def exchange_student(folder: str) -> str | None:
    """Whom the name of a folder in nbgrader's exchange tells, of any assignment."""
    found = _exchange(composed(folder), "", "")
    return found.person if found else None


def plain_name(file: str) -> str:
    """The name of a file without its ending, and without what a browser or Canvas adds to a second one."""
    return _COPY.sub("", PurePosixPath(composed(file)).stem)


def composed(text: str) -> str:
    """The text in Unicode's form NFC, so that one name is the same wherever it comes from."""
    return unicodedata.normalize("NFC", text)


def letters_of(name: str) -> str:
    """A name of a person by which two systems that write it differently agree: letters, their marks, and numbers."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LMN")


def _exchange(part: str, file: str, assignment: str) -> CampusName | None:
    words = part.rsplit("+", 3)
    for place in (-3, -2):  # there was no random part once
        if len(words) >= 1 - place and (timestamp := timestamp_of(words[place + 1])) is not None:
            student, name = "+".join(words[:place]), words[place]
            return CampusName("nbgrader", student, "", file if name == assignment else "", timestamp=timestamp)
    return None


def _moodle(part: str, file: str | None) -> CampusName | None:
    found = _MOODLE.fullmatch(part)
    if found is None or found["what"] != "file":
        return None
    return CampusName("Moodle", found["name"], found["number"], file or found["file"] or "")


def _canvas(part: str) -> CampusName | None:
    found = _CANVAS.fullmatch(part)
    if found is None:
        return None
    number, attachment = found["number"], int(found["attachment"])
    return CampusName("Canvas", found["name"], number, found["file"], attachment, late=found["late"] is not None)

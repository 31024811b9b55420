"""The secret of a course: what students are asked is drawn from it, so nobody who lacks it can compute that beforehand.

It is a file in the course's folder, beside `source/` and outside of all that is released: 64 hexadecimal figures that
only its owner may read. A copy belongs to where the marks are kept: with another secret, other things are drawn.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from labkit.errors import BadCourseSecret
from labkit.grading.sandbox.mounts import folder_shown
from labkit.parameters import checked

#: The file's name in the folder of the course.
FILE = "course_secret"
#: How many bytes it has.
LENGTH = 32

_WRITTEN = re.compile(rb"[0-9a-f]{%d}\n?" % (2 * LENGTH))


class CourseSecret:
    """The secret, from which there is a seed for each submission. It is never told, and neither are its seeds."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "CourseSecret(…)"

    def seed(self, assignment: str, student: str) -> str:
        """What all is drawn from for this student's submission: HMAC-SHA256 (RFC 2104) of both names."""
        return hmac.digest(self._key, json.dumps([assignment, student]).encode(), "sha256").hex()


@checked
def make_secret(course: Path) -> CourseSecret:
    """The secret of the course in this folder, made if there is none: one that is there is never replaced.

    Raises `BadCourseSecret` as `read_secret` does, and `OSError`.
    """
    part = course / f".{FILE}.{secrets.token_hex(6)}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(LENGTH)}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            (course / FILE).hardlink_to(part)  # whole, and not in place of another one
    finally:
        part.unlink(missing_ok=True)
    return read_secret(course)


def read_secret(course: Path) -> CourseSecret:
    """The secret of the course in this folder. Raises `BadCourseSecret` if there is none, or others may know it."""
    file = course / FILE
    shown = folder_shown(course)
    if shown is not None:
        raise BadCourseSecret(
            f"The folder of the course, {course}, lies in {shown}, which student code may read in the sandbox. Move it."
        )
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BadCourseSecret(
            f"The course has no secret, the file {file}, from which the hidden checks are drawn. If it was lost, take "
            "the copy: with a new one, what is graded again is asked something else."
        ) from None
    except OSError as error:
        raise BadCourseSecret(f"The secret of the course, {file}, cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as opened:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind):
            raise BadCourseSecret(f"The secret of the course, {file}, is no ordinary file.")
        if kind & 0o077:
            raise BadCourseSecret(
                f"Others than you may read or change the secret of the course. Say `chmod 600 {file}`; and if a "
                "student may have seen it, delete it, and make a new one before the next assignment."
            )
        text = opened.read(2 * LENGTH + 2)
    if not _WRITTEN.fullmatch(text):
        raise BadCourseSecret(f"The secret of the course, {file}, does not hold {2 * LENGTH} hexadecimal figures.")
    return CourseSecret(bytes.fromhex(text.decode()))

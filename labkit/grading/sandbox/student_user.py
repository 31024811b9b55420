"""The user whom student code runs as, where it runs as another one than the grader."""

from __future__ import annotations

import secrets

#: The student's user where it cannot be known which are free; also another name for who runs an unprivileged sandbox.
STUDENT = 20_000
#: Where the users begin that are taken for students, and how many there are.
FIRST_SPARE, SPARE = 1_879_000_000, 1_000_000


def spare_user(uid_map: str) -> int:
    """A user drawn from those that nobody is, as far as a namespace with this /proc/…/uid_map has so many.

    It is drawn anew each time, since a count would be the same in all that one process has forked, and what two
    sandboxes of one user run is counted together.
    """
    highest = max(int(line.split()[0]) + int(line.split()[2]) for line in uid_map.splitlines())
    first, spare = (FIRST_SPARE, SPARE) if highest > FIRST_SPARE + SPARE else (highest // 2, max(1, highest // 2))
    return first + secrets.randbelow(spare)

"""The user whom student code runs as."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labkit.grading.sandbox.student_user import FIRST_SPARE, SPARE, spare_user

#: What Linux says of all users, and of so many as an ordinary user has for containers.
ALL, FEW = "0 0 4294967295\n", "0 1000 1\n1 100000 65536\n"
FORKED = f"""
import os
from labkit.grading.sandbox.student_user import spare_user
for _ in range(2):
    if os.fork() == 0:
        print([spare_user({ALL!r}) for _ in range(4)], flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize(("users", "first", "end"), [(ALL, FIRST_SPARE, FIRST_SPARE + SPARE), (FEW, 32_768, 65_537)])
def test_it_is_one_that_there_is_and_that_is_nobody(users: str, first: int, end: int) -> None:
    assert all(first <= spare_user(users) < end for _ in range(100))


def test_two_that_one_process_has_forked_do_not_draw_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    one, other = done.stdout.splitlines()
    assert one != other

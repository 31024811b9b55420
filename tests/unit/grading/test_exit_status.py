"""How a command has ended: the limit is named where it is known, and no signal has a name that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.control_group import ControlGroup
from labkit.grading.sandbox.exit_status import Cause, ending_of


@pytest.mark.parametrize(
    ("status", "cause", "limit", "words"),
    [
        (0, None, None, "with status 0"),
        (1, None, None, "with status 1"),
        (137, None, None, "by SIGKILL"),
        (152, None, "CPU time", "60 s of processor time"),
        (255, None, None, "with status 255"),
        (-9, "wall time", "wall time", "after 120 s"),
        (-9, "output", "output", "wrote more than 1048576 bytes"),
        (-9, "cut off", None, "closed the descriptors"),
        (-9, "closed", None, "by the grader"),
        (-9, None, None, "by SIGKILL"),
    ],
)
def test_the_ending_in_words(status: int, cause: Cause, limit: str | None, words: str) -> None:
    ending = ending_of(status, cause, Limits(), ())
    assert ending.limit == limit
    assert words in ending.words
    assert ending.status >= 0


@pytest.mark.parametrize(
    ("file", "text", "limit"), [("memory.events", "oom_kill 1", "memory"), ("pids.events", "max 3", "processes")]
)
def test_a_control_group_knows_more(tmp_path: Path, file: str, text: str, limit: str) -> None:
    (tmp_path / file).write_text(text)
    assert ending_of(137, None, Limits(), ControlGroup(tmp_path, tmp_path).used_up()).limit == limit

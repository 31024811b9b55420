"""`labkit grade demo` as an instructor types it: a class of twelve, on brokers of its own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap
from tests.acceptance.commands import outcome

TypeIn = Callable[..., subprocess.Popen[str]]
A1 = "a1_topics_and_producer"
#: What a browser's place is taken by, which has no window.
NO_BROWSER = {"BROWSER": "true"}
#: How long the class may take on a computer with much else to do, in seconds.
TIMEOUT = 900


@pytest.fixture(autouse=True)
def sandbox() -> None:
    """`make bubblewrap` installs what it needs."""
    try:
        Bubblewrap().check()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_ctrl_c_ends_the_demo_with_all_that_it_has_started(type_in: TypeIn, tmp_path: Path) -> None:
    demo = type_in("grade", "demo", "class", **NO_BROWSER)
    assert demo.stdout is not None
    assert any(line.startswith(f"12 submissions of {A1} are in ") for line in demo.stdout)
    begun = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    out, _ = outcome(demo, 130)
    assert f"Interrupted. {A1}: " in out
    assert f"The course stays in {tmp_path / 'class'}: go there first." in out
    assert psutil.wait_procs(begun, timeout=60)[1] == []
    _, err = outcome(type_in("grade", "demo", "class"), 1)
    assert err == "labkit: There is something in class already. Name a folder that is empty, or a new one.\n"

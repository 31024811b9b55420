"""The sandbox, where one can be made, and a place in it where attacks are tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap, Said
from tests.conditions import PATIENCE

PROGRAM = "/run/labkit/attack_program.py"
#: What an attack came to: "got" and what, "refused" and the error of the system, "raised" and the exception, "killed".
Outcome = tuple[str, object]


@pytest.fixture(scope="session")
def sandbox() -> Bubblewrap:
    """One that works; `make bubblewrap` installs what it needs."""
    found = Bubblewrap()
    try:
        found.check()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def attack(sandbox: Bubblewrap) -> Iterator[Callable[..., Outcome]]:
    """Try an attack: code that leaves a `result`, with these names set, each in a process of its own in one sandbox."""
    program = (Path(__file__).parent / "attack_program.py").read_bytes()
    with sandbox.start([sys.executable, "-I", PROGRAM], files={PROGRAM: program}) as conversation:

        def attempt(code: str, **names: object) -> Outcome:
            assert conversation.send({"code": code, "names": names}, PATIENCE)
            reply = conversation.receive(PATIENCE)
            assert isinstance(reply, Said), (reply, conversation.output())
            how, what = reply.value
            return how, what

        yield attempt

"""The sandbox, where one can be made, and a place in it where attacks are tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap, Said
from labkit.grading.sandbox.container_engine import ContainerEngine
from tests.conditions import PATIENCE

PROGRAM = "/run/labkit/attack_program.py"
#: What an attack came to: "got" and what, "refused" and the error of the system, "raised" and the exception, "killed".
Outcome = tuple[str, object]
#: What the tests run in.
Sandbox = Bubblewrap | ContainerEngine
Kind = TypeVar("Kind", Bubblewrap, ContainerEngine)


#: The tests of what every sandbox keeps, whatever it is made of.
OF_EVERY_SANDBOX = {"test_attacks", "test_conversation", "test_exhaustion", "test_grader", "test_kernel", "test_relay"}
#: Those of which `make test` does the variant with Podman: the first share one container, the others are few.
SHORT = {
    "test_attacks",
    "test_what_it_is_told_comes_back_as_it_was",
    "test_memory_is_bounded",
    "test_processes_are_counted",
    "test_a_grader_that_is_killed_leaves_nothing_running",
    "test_the_port_inside_leads_to_the_server_and_no_other_does",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    if "sandbox" in metafunc.fixturenames and module in OF_EVERY_SANDBOX:
        is_short = not SHORT.isdisjoint({module, metafunc.function.__name__})
        podman = [pytest.mark.optional, *([] if is_short else [pytest.mark.long])]
        kinds = [
            "bubblewrap",
            pytest.param("podman", marks=podman),
            pytest.param("docker", marks=[pytest.mark.optional, pytest.mark.long]),
        ]
        metafunc.parametrize("sandbox", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def bubblewrap() -> Bubblewrap:
    """The usual one; `make bubblewrap` installs what it needs."""
    return working(Bubblewrap())


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """One that works, the usual one unless a test is of every one."""
    name = getattr(request, "param", "bubblewrap")
    if name == "bubblewrap":
        usual: Bubblewrap = request.getfixturevalue(name)
        return usual
    return working(ContainerEngine(name))


def working(backend: Kind) -> Kind:
    try:
        backend.check()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    return backend


@pytest.fixture(scope="module")
def attack(sandbox: Sandbox) -> Iterator[Callable[..., Outcome]]:
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

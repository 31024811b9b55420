"""What only containers have: an engine beside the grader, which may hang, be killed, or tell more than it should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import ContainerEngine, Ended, Said, container_engine, container_process
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.conftest import working

WAIT = "import os, time; os.write(65, b'1\\n'); time.sleep(3600)"


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("podman", marks=pytest.mark.optional),
        pytest.param("docker", marks=[pytest.mark.optional, pytest.mark.long]),
    ],
)
def engine(request: pytest.FixtureRequest) -> ContainerEngine:
    return working(ContainerEngine(request.param))


def ask(engine: ContainerEngine, *words: str) -> str:
    program = shutil.which(engine.name)
    assert program is not None
    return subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout


def containers(engine: ContainerEngine, label: str = container_engine.LABEL) -> list[str]:
    """The names of those of this process, also of those that do not run."""
    names = ask(engine, "ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}").split()
    return [name for name in names if name.startswith(f"{label}-{os.getpid()}-")]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_what_engines_hand_into_containers_does_not_come_in(
    engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman gives the proxies of its environment, and both of them tell how names are looked up."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.invalid")
    code = """
import json, os
tell = {"proxies": [name for name in os.environ if "proxy" in name.lower()]}
tell["names"] = open("/etc/resolv.conf").read()
tell["hostname"] = open("/etc/hostname").read() + open("/proc/sys/kernel/hostname").read()
os.write(65, json.dumps(tell).encode() + b"\\n")
"""
    with engine.start(python(code)) as conversation:
        assert conversation.receive(PATIENCE) == Said({"proxies": [], "names": "", "hostname": "sandbox\nsandbox\n"})


def test_a_container_is_removed_with_its_end(engine: ContainerEngine) -> None:
    with engine.start(python("pass")) as conversation:
        assert conversation.wait(PATIENCE) is not None
    wait_until(lambda: not containers(engine), timeout=PATIENCE, what="the container was to be removed")


def test_one_that_may_not_be_killed_ends_all_the_same(engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an ordinary user whom Docker serves."""

    def refuse(*_: object) -> None:
        raise PermissionError

    conversation = engine.start(python(WAIT))
    assert conversation.receive(PATIENCE) == Said(1)
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    conversation.close()
    assert isinstance(conversation.receive(PATIENCE), Ended)
    wait_until(lambda: not containers(engine), timeout=PATIENCE, what="the container was to be removed")


def test_one_whose_client_is_killed_goes_on_and_ends(engine: ContainerEngine) -> None:
    with engine.start(python("import os; os.write(65, os.read(64, 9)); os.write(65, os.read(64, 9))")) as conversation:
        process = conversation.process
        assert isinstance(process, container_process.ContainerProcess)
        os.kill(process._client.pid, signal.SIGKILL)
        for said in (1, 2):
            assert conversation.send(said, PATIENCE)
            assert conversation.receive(PATIENCE) == Said(said)
        ending = conversation.wait(PATIENCE)
    assert ending is not None
    assert ending.status == 0
    wait_until(lambda: not containers(engine), timeout=PATIENCE, what="the container was to be removed")


def test_one_that_comes_up_too_late_ends_at_once(engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_process, "START_TIMEOUT", 0.0)
    with pytest.raises(SandboxUnavailable, match="has not started within 0 s"):
        engine.start(python(WAIT))
    running = ("ps", "--filter", f"label={container_engine.LABEL}", "--format", "{{.Names}}")
    mine = f"{container_engine.LABEL}-{os.getpid()}-"
    wait_until(lambda: mine not in ask(engine, *running), timeout=PATIENCE, what="nothing of it was to run")


def test_what_a_killed_grader_has_left_unstarted_is_removed_by_the_next(
    engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch, unique_name: str
) -> None:
    label = unique_name.lower()
    monkeypatch.setattr(container_engine, "LABEL", label)
    monkeypatch.setattr(container_engine, "LEFT_FOR", "0s")
    name = f"{label}-{os.getpid()}-0"
    ask(engine, "create", "--pull", "never", "--name", name, "--label", label, engine._image, "/x")
    assert containers(engine, label)

    def removed() -> bool:
        ContainerEngine(engine.name).check()
        return not containers(engine, label)

    wait_until(removed, timeout=PATIENCE, what="the next one was to remove it")  # engines count in whole seconds

"""What only containers have: an engine beside the grader, which may hang, be killed, or tell more than it should."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture(params=[pytest.param("podman", marks=pytest.mark.optional)])
def podman(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., ContainerEngine]:
    """Another one, which was not tried yet, whose configuration says this of containers."""
    working(ContainerEngine(request.param))

    def configure(says: str) -> ContainerEngine:
        (tmp_path / "containers.conf").write_text(f"[containers]\n{says}\n")
        monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
        return ContainerEngine(request.param)

    return configure


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


def test_one_that_is_killed_by_the_engine_is_no_end_of_the_command(engine: ContainerEngine) -> None:
    others = set(containers(engine))
    with engine.start(python(WAIT)) as conversation:
        assert conversation.receive(PATIENCE) == Said(1)
        (name,) = set(containers(engine)) - others
        ask(engine, "kill", name)
        with pytest.raises(SandboxUnavailable, match=r"has ended before its command.* Run it again\."):
            conversation.receive(PATIENCE)


@pytest.mark.parametrize("target", ["/data", "/usr/games", "/dev/shm", "/tmp", "/etc/hosts"])
def test_what_podman_is_configured_to_show_is_refused(
    podman: Callable[..., ContainerEngine], tmp_path: Path, target: str
) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(SandboxUnavailable, match=re.escape(target)):
        podman(f'volumes = ["{tmp_path}/data:{target}"]').check()


def test_a_device_that_podman_is_configured_to_show_is_refused(podman: Callable[..., ContainerEngine]) -> None:
    with pytest.raises(SandboxUnavailable, match="/dev/other"):
        podman('devices = ["/dev/null:/dev/other:r"]').check()


def test_podman_that_is_configured_to_share_processes_does_not(podman: Callable[..., ContainerEngine]) -> None:
    code = "import os; first = open('/proc/1/cmdline').read(); os.write(65, b'%d\\n' % ('container_program' in first))"
    with podman('pidns = "host"').start(python(code)) as conversation:
        assert conversation.receive(PATIENCE) == Said(1)


#: Starts a container where a file system that everybody may write to is mounted on this folder, below Python's.
BELOW = """
import subprocess, sys
from labkit.grading.sandbox import ContainerEngine
folder = {folder!r}
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", folder], check=True)
open(folder + "/file", "w").close()
code = "import os; print(os.listdir(" + repr(folder) + ")); open(" + repr(folder + "/other") + ", 'w')"
with ContainerEngine({engine!r}).start([sys.executable, "-I", "-c", code]) as conversation:
    conversation.wait(60)
    print(conversation.output())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount something below this Python's folder")
def test_what_is_mounted_below_a_folder_that_is_shown_is_read_only(engine: ContainerEngine) -> None:
    program = BELOW.format(folder=f"{sys.prefix}/include", engine=engine.name)
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", program]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "['file']" in said
    assert "Read-only file system" in said


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

"""The grader's side of a container: what is asked of the engine, what is said when it fails, and that all ends."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import ContainerEngine, Ended, Ending, Said, container_engine, container_process
from labkit.grading.sandbox.container_words import image_archive
from labkit.grading.sandbox.control_group import ControlGroup
from labkit.process.socket_folder import LONGEST_NAME, LONGEST_PATH, WHAT
from labkit.taskqueue.timeouts import wait_until
from labkit.temporary_folder import SUFFIX
from tests.conditions import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are what Linux has")

TELL = "import os, sys; os.write(65, b'1\\n'); os.read(64, 1); sys.exit(3)"
#: The first process is its parent.
KILL_THE_FIRST = "import os; os.kill(os.getppid(), 9); os.read(64, 1)"
#: Without a container nothing else would end it than the end of its orders.
WAIT = "import os; os.write(65, b'1\\n'); os.read(64, 1)"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the fake Podman lies, and what is made of temporary files."""
    with tempfile.TemporaryDirectory() as name:  # not as deep as pytest's, for the sake of sockets
        (Path(name) / "bin").mkdir()
        (Path(name) / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", f"{name}/tmp")
        monkeypatch.setenv("PATH", f"{name}/bin")
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        yield Path(name) / "bin"


@pytest.fixture
def engine(folder: Path) -> Callable[..., ContainerEngine]:
    """A fake Podman that does this."""

    def make(**does: object) -> ContainerEngine:
        program = folder / "podman"
        code = (Path(__file__).parent / "fake_engine.py").read_text()
        program.write_text(f"#!{sys.executable}\n{code}")
        program.chmod(0o755)
        (folder / "does").write_text(json.dumps(does))
        return ContainerEngine("podman")

    return make


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_a_command_is_told_and_tells_and_its_status_comes_back(
    engine: Callable[..., ContainerEngine], folder: Path
) -> None:
    with engine().start(python(TELL)) as conversation:
        assert conversation.receive(PATIENCE) == Said(1)
        assert conversation.send(1, PATIENCE)
        assert conversation.wait(PATIENCE) == Ending(3, "It ended with status 3.")
    assert not list((folder.parent / "tmp").iterdir())


def test_a_folder_for_temporary_files_may_have_a_name_as_long_as_fits(
    engine: Callable[..., ContainerEngine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = LONGEST_PATH - LONGEST_NAME - len(f"/{WHAT}-12345678{SUFFIX}/")
    deep = Path(f"{folder.parent / 'tmp'}/".ljust(longest, "x"))
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with engine().start(python("pass")) as conversation:
        assert conversation.wait(PATIENCE) == Ending(0, "It ended with status 0.")
    (ran, *_) = (words for words in calls(folder) if words[0] == "run")
    assert any(f"source={deep}/" in word for word in ran)


def test_a_signal_is_told_as_a_shell_does(engine: Callable[..., ContainerEngine]) -> None:
    with engine().start(python("import os; os.abort()")) as conversation:
        assert conversation.wait(PATIENCE) == Ending(134, "It ended by SIGABRT.")


def test_nothing_is_asked_of_a_registry_and_nothing_is_kept(
    engine: Callable[..., ContainerEngine], folder: Path
) -> None:
    with engine(image=[1, "no such image"]).start(python("pass")) as conversation:
        conversation.wait(PATIENCE)
    asked = calls(folder)
    image, _ = image_archive()
    assert [words[0] for words in asked[:3]] == ["--version", "image", "import"]
    assert asked[2] == ["import", "-", image]
    ran = [words for words in asked if words[0] == "run"]
    assert all(words[words.index("--pull") + 1] == "never" for words in ran)
    for words in ran:
        assert {"--rm", "--read-only", "--read-only-tmpfs=false", "no-new-privileges", image} <= set(words)
        assert words[words.index("--network") + 1] == "none"
        assert words[words.index("--cap-drop") + 1] == "ALL"
        assert words[words.index("--log-driver") + 1] == "none"
        hidden = [word for word in words if word.endswith(("target=/run/secrets,readonly", "/grading,readonly"))]
        assert [word.split(",")[1].endswith("/nothing") for word in hidden] == [True, True]
    assert not {"pull", "--privileged", "--volume", "-v", "--env", "-e"} & {word for words in asked for word in words}


def test_an_engine_by_the_name_of_docker_may_be_either(engine: Callable[..., ContainerEngine], folder: Path) -> None:
    engine(version="Docker version 28.0.0").check()
    assert not any("--read-only-tmpfs=false" in words for words in calls(folder))


def test_where_no_control_group_limits_it_each_process_is_limited(
    engine: Callable[..., ContainerEngine], folder: Path
) -> None:
    engine().check()
    with_groups, without = (words for words in calls(folder) if words[0] == "run")
    assert "--memory" in with_groups
    assert "--memory" not in without
    assert not any(word.startswith("limit=AS") for word in with_groups)
    assert any(word.startswith("limit=AS") for word in without)


def test_a_refusal_that_passes_drops_no_limits(engine: Callable[..., ContainerEngine], folder: Path) -> None:
    engine(run="fail once").check()
    ran = [words for words in calls(folder) if words[0] == "run"]
    assert ["--memory" in words for words in ran] == [True, False, True]


def test_where_the_engine_refuses_limits_that_is_said_once(
    engine: Callable[..., ContainerEngine], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    working = engine(run="fail with limits")
    for _ in range(2):
        with working.start(python("pass")) as conversation:
            assert conversation.wait(PATIENCE) == Ending(0, "It ended with status 0.")
    assert ["podman limits each process of student code" in record.message for record in caplog.records] == [True]


def test_a_first_container_that_is_late_drops_no_limits(
    engine: Callable[..., ContainerEngine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_process, "START_TIMEOUT", 0.5)
    with pytest.raises(SandboxUnavailable, match=r"within 0\.5 s\. Run it again when"):
        engine(run="hang").check()
    assert ["--memory" in words for words in calls(folder) if words[0] == "run"] == [True]


def test_one_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=r"podman is missing.*apt-get install podman"):
        ContainerEngine("podman").check()
    with pytest.raises(SandboxUnavailable, match=r"docker is missing.*Docker Engine"):
        ContainerEngine("docker").start(python("pass"))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            {"image": [1, ""], "import": [125, "Cannot connect"]},
            "podman can make none here.*Cannot connect.*podman info",
        ),
        ({"run": [125, "no rights"]}, "can make none here.*has not started: no rights"),
        ({"run": [126, "Permission denied"]}, r"allowed to read this Python.*chmod -R o\+rX"),
    ],
)
def test_what_an_engine_says_is_said(
    engine: Callable[..., ContainerEngine], does: dict[str, object], said: str
) -> None:
    with pytest.raises(SandboxUnavailable, match=said):
        engine(**does).check()


def test_one_that_does_not_answer_is_not_waited_for(
    engine: Callable[..., ContainerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_engine, "ANSWER_TIMEOUT", 0.5)
    with pytest.raises(SandboxUnavailable, match="podman does not answer"):
        engine(image="hang").check()


def test_a_container_that_does_not_start_is_not_waited_for(
    engine: Callable[..., ContainerEngine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = engine()
    working.check()
    monkeypatch.setattr(container_process, "START_TIMEOUT", 0.5)
    (folder / "does").write_text(json.dumps({"run": "hang"}))
    with pytest.raises(SandboxUnavailable, match=r"has not started within 0\.5 s"):
        working.start(python("pass"))
    assert not list((folder.parent / "tmp").iterdir())


def test_an_engine_that_hangs_at_the_end_holds_up_nobody(
    engine: Callable[..., ContainerEngine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_process, "CLIENT_TIMEOUT", 0.1)
    with engine(run="hang at the end").start(python("import os; os.write(65, b'1\\n')")) as conversation:
        assert conversation.receive(PATIENCE) == Said(1)
        assert conversation.wait(PATIENCE) == Ending(0, "It ended with status 0.")


def test_one_that_may_not_be_killed_ends_all_the_same(
    engine: Callable[..., ContainerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Docker's first process is root and the grader is not."""

    def refuse(*_: object) -> None:
        raise PermissionError

    conversation = engine().start(python(WAIT))
    assert conversation.receive(PATIENCE) == Said(1)
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    conversation.close()
    assert isinstance(conversation.receive(PATIENCE), Ended)


def test_one_that_will_not_end_is_removed_by_the_engine_and_else_that_is_said(
    engine: Callable[..., ContainerEngine], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = engine().start(python(WAIT))
    assert conversation.receive(PATIENCE) == Said(1)
    monkeypatch.setattr(container_process, "KILL_TIMEOUT", 0.1)
    process = conversation.process
    assert isinstance(process, container_process.ContainerProcess)
    reader, writer = os.pipe()  # what never becomes readable
    monkeypatch.setattr(process, "_first", reader)
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
    conversation.close()
    os.close(writer)
    with pytest.raises(SandboxUnavailable, match=r"does not end\. Remove it: .*rm --force labkit-sandbox-"):
        conversation.receive(PATIENCE)
    assert calls(folder)[-1][:2] == ["rm", "--force"]


def test_one_that_somebody_else_ends_is_no_end_of_the_command(engine: Callable[..., ContainerEngine]) -> None:
    with (
        engine().start(python(KILL_THE_FIRST)) as conversation,
        pytest.raises(SandboxUnavailable, match=r"has ended before its command, .* Run it again\."),
    ):
        conversation.receive(PATIENCE)


def test_one_that_is_killed_for_want_of_memory_has_used_it_up(
    engine: Callable[..., ContainerEngine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    monkeypatch.setattr(container_process, "limited_group", lambda *_: ControlGroup(tmp_path, tmp_path))
    with engine().start(python(KILL_THE_FIRST)) as conversation:
        ending = conversation.wait(PATIENCE)
    assert ending is not None
    assert (ending.status, ending.limit) == (137, "memory")


def test_one_that_is_gone_before_it_is_known_is_not_taken_for_another(
    engine: Callable[..., ContainerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.pidfd_open

    def open_late(pid: int) -> int:
        first = psutil.Process(pid)
        if first.ppid() == os.getpid():  # the engine's client
            return opened(pid)
        first.kill()
        wait_until(lambda: not first.is_running(), timeout=PATIENCE, what="it was to be gone")
        return opened(other.pid)  # which has its number by then

    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        monkeypatch.setattr(os, "pidfd_open", open_late)
        with pytest.raises(SandboxUnavailable, match=r"ended as it was started\. Run it again"):
            engine().check()
        assert other.poll() is None


def test_a_grader_that_is_gone_is_noticed_inside(engine: Callable[..., ContainerEngine], folder: Path) -> None:
    conversation = engine().start(python(WAIT))
    assert conversation.receive(PATIENCE) == Said(1)
    process = conversation.process
    assert isinstance(process, container_process.ContainerProcess)
    process._line.shutdown(2)
    wait_until(lambda: conversation.ending() is not None, timeout=PATIENCE, what="it was to end")
    conversation.close()


def test_another_machine_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="Linux has on x86-64 and AArch64"):
        ContainerEngine("docker").check()

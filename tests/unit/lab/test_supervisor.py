"""The supervisor, with `sleep` and small shell scripts as its servers: in every way to end, no server is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from labkit.errors import ServerFailed
from labkit.lab import supervisor as module
from labkit.lab import supervisor_process
from labkit.lab.condition import wait_for
from labkit.lab.process_id import ProcessId, process_id
from labkit.lab.supervisor import ServerCommand, Supervisor, end_supervisor, launch, restart

pytestmark = pytest.mark.slow

SLEEP = ["/bin/sleep", "1000"]
#: A server that takes no notice of SIGTERM, and says when it is that far.
STUBBORN = ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1000; done"]

#: The owner, in a process of its own: starts two servers, says the pids, and waits.
OWNER = """
import json, os, sys
from pathlib import Path
from labkit.lab.supervisor import ServerCommand, launch
folder = Path(sys.argv[1])
argv, grace = json.loads(sys.argv[2]), float(sys.argv[3])
commands = [ServerCommand(name=n, argv=argv, folder=folder, output=folder / n, grace=grace) for n in ("one", "two")]
files = {"exits": folder / "exits", "log": folder / "log", "state": folder / "state"}
supervisor = launch(commands, **files, remove=[folder / "gone"])
if "detach" in sys.argv:
    supervisor.detach()
if "fork" in sys.argv and os.fork() == 0:
    os.read(0, 1)  # a child that holds the pipe open
    os._exit(0)
pids = [supervisor.process.pid, *(server.pid for server in supervisor.servers.values())]
print(json.dumps(pids), flush=True)
if "detach" not in sys.argv:
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").touch()
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "file").touch()
    return tmp_path


def command(folder: Path, argv: list[str], *, grace: float = 60.0, name: str = "server") -> ServerCommand:
    return ServerCommand(name=name, argv=argv, folder=folder, output=folder / name, grace=grace)


def start(folder: Path, *commands: ServerCommand) -> Supervisor:
    return launch(
        commands, exits=folder / "exits", log=folder / "log", state=folder / "state", remove=[folder / "gone"]
    )


def ends(folder: Path) -> list[dict[str, Any]]:
    """How servers have ended."""
    return [entry for entry in noted(folder) if "status" in entry]


def noted(folder: Path) -> list[dict[str, Any]]:
    """What became of the servers; a line that is being written does not count yet."""
    path = folder / "exits"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def said(folder: Path) -> str:
    path = folder / "server"
    return path.read_text() if path.exists() else ""


def test_a_server_obeys_signals_whatever_the_thread_of_its_owner_has_blocked(folder: Path) -> None:
    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        supervisor = start(folder, command(folder, ["/bin/sh", "-c", "kill -USR2 $$"]))
        supervisor.wait()
        supervisor.stop()

    asking = threading.Thread(target=begin)
    asking.start()
    asking.join()
    assert [end["status"] for end in ends(folder)] == [-signal.SIGUSR2]


class Owner:
    """A process that owns two servers, and who they are."""

    def __init__(self, folder: Path, *words: str, argv: list[str] = SLEEP, grace: float = 5.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder), json.dumps(argv), str(grace), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        found = [process_id(pid) for pid in json.loads(self.process.stdout.readline())]
        self.supervisor, *self.servers = [process for process in found if process is not None]

    def everyone(self) -> list[ProcessId]:
        return [self.supervisor, *self.servers]

    def clear(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.kill()
        self.process.wait()
        end_supervisor(self.supervisor, self.servers, 5)


@pytest.fixture
def owners() -> Iterator[list[Owner]]:
    started: list[Owner] = []
    yield started
    for owner in started:
        owner.clear()


def all_ended(processes: list[ProcessId]) -> bool:
    return not any(process.alive() for process in processes)


def test_stopping_ends_the_servers_and_cleans_up(folder: Path) -> None:
    supervisor = start(folder, command(folder, SLEEP))
    assert supervisor.servers["server"].alive()
    supervisor.stop()
    assert all_ended([supervisor.process, *supervisor.servers.values()])
    assert not (folder / "state").exists()
    assert not (folder / "gone").exists()
    assert [(end["server"], end["status"], end["asked"]) for end in ends(folder)] == [("server", -signal.SIGTERM, True)]
    supervisor.stop()  # twice is no error


def test_a_server_that_does_not_listen_is_killed_after_its_grace(folder: Path) -> None:
    supervisor = start(folder, command(folder, STUBBORN, grace=0.1))
    assert wait_for(lambda: said(folder) == "deaf\n", 60)
    supervisor.stop()
    assert [end["status"] for end in ends(folder)] == [-signal.SIGKILL]


def test_without_grace_servers_are_killed_at_once(folder: Path) -> None:
    supervisor = start(folder, command(folder, SLEEP, grace=0.0))
    supervisor.stop()
    assert [end["status"] for end in ends(folder)] == [-signal.SIGKILL]


def test_a_crashed_server_is_noted_and_the_others_go_on(folder: Path) -> None:
    supervisor = start(folder, command(folder, SLEEP, name="one"), command(folder, SLEEP, name="two"))
    supervisor.servers["one"].send_signal(signal.SIGKILL)
    assert supervisor.servers["one"].wait(60)
    assert wait_for(lambda: len(ends(folder)) == 1, 60)
    assert [(end["server"], end["status"], end["asked"]) for end in ends(folder)] == [("one", -signal.SIGKILL, False)]
    assert supervisor.servers["two"].alive()
    supervisor.stop()


def start_again(folder: Path, supervisor: Supervisor, *names: str) -> ProcessId:
    """Ask for servers, and return who the one is that was started."""
    before = len(noted(folder))
    restart(supervisor.process, names, requests=folder / "requests")
    assert wait_for(lambda: len(noted(folder)) > before, 60)
    found = process_id(noted(folder)[-1]["pid"])
    assert found is not None
    return found


def test_a_server_that_has_ended_is_started_again_and_the_others_are_left_alone(folder: Path) -> None:
    commands = [command(folder, SLEEP, name=name) for name in ("one", "two", "three")]
    supervisor = launch(commands, exits=folder / "exits", log=folder / "log", requests=folder / "requests")
    for name in ("one", "two"):
        supervisor.servers[name].send_signal(signal.SIGKILL)
        assert supervisor.servers[name].wait(60)
    assert wait_for(lambda: len(ends(folder)) == 2, 60)
    again = start_again(folder, supervisor, "two", "three")
    assert [(entry["server"], entry["pid"]) for entry in noted(folder) if "status" not in entry] == [("two", again.pid)]
    assert supervisor.servers["three"].alive()
    supervisor.stop()
    assert all_ended([again, supervisor.servers["three"], supervisor.process])
    assert {(end["server"], end["asked"]) for end in ends(folder)[2:]} == {("two", True), ("three", True)}


def test_a_server_that_cannot_be_started_again_ends_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    """The system may have too many processes for a moment."""
    started: list[str] = []

    def refused() -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    host: Any = object.__new__(supervisor_process.SupervisorProcess)
    one = SimpleNamespace(name="one", running=False, start=refused)
    two = SimpleNamespace(name="two", running=False, start=lambda: started.append("two"))
    host.stopping, host.asked_to_restart, host.servers = False, True, [one, two]
    host._wanted, host._note = lambda: ["one", "two"], lambda server, what: started.append(f"{server.name} noted")
    host._restart()
    assert started == ["two", "two noted"]
    assert capfd.readouterr().err == "one was not started again: Resource temporarily unavailable\n"


def test_when_all_have_ended_a_supervisor_that_can_start_them_again_stays(folder: Path) -> None:
    one = command(folder, SLEEP, name="one")
    supervisor = launch([one], exits=folder / "exits", log=folder / "log", requests=folder / "requests")
    supervisor.servers["one"].send_signal(signal.SIGKILL)
    assert wait_for(lambda: len(ends(folder)) == 1, 60)
    again = start_again(folder, supervisor, "one")
    assert again.alive()
    supervisor.stop()
    assert all_ended([again, supervisor.process])


def test_a_stray_signal_changes_nothing(folder: Path) -> None:
    supervisor = start(folder, command(folder, SLEEP))
    supervisor.process.send_signal(signal.SIGUSR1)
    assert wait_for(lambda: "nothing was started again" in (folder / "log").read_text(), 60)
    assert supervisor.servers["server"].alive()
    supervisor.stop()


@pytest.mark.parametrize("content", [b"5", b"[", b"\xff", b"null", b"{}"])
def test_a_request_that_is_none_starts_nothing(folder: Path, content: bytes) -> None:
    (folder / "requests").write_bytes(content)
    host: Any = object.__new__(supervisor_process.SupervisorProcess)
    host.requests = str(folder / "requests")
    assert host._wanted() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_under_the_journal_and_the_log_ends_no_other(folder: Path) -> None:
    script = 'trap "touch in_order; exit 0" TERM; touch ready; while :; do sleep 0.05; done'
    commands = [command(folder, SLEEP, name="one"), command(folder, ["/bin/sh", "-c", script], name="two")]
    supervisor = launch(commands, exits=Path("/dev/full"), log=Path("/dev/full"))
    assert wait_for((folder / "ready").exists, 60)
    supervisor.servers["one"].send_signal(signal.SIGKILL)
    assert wait_for(lambda: not psutil.pid_exists(supervisor.servers["one"].pid), 60)
    supervisor.stop()
    assert (folder / "in_order").exists()


def test_what_follows_a_torn_line_begins_one_of_its_own(folder: Path) -> None:
    (folder / "exits").write_text('{"server": "ka')
    host: Any = object.__new__(supervisor_process.SupervisorProcess)
    host.exits, host.torn = str(folder / "exits"), True
    for status in (1, 2):
        host._note(SimpleNamespace(name="one", pid=7), {"status": status, "asked": False})
    lines = (folder / "exits").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines[1:]] == [1, 2]


def test_when_all_servers_have_ended_unasked_the_state_stays(folder: Path) -> None:
    supervisor = start(folder, command(folder, ["/bin/sh", "-c", "exit 3"]))
    supervisor.wait()
    assert [(end["status"], end["asked"]) for end in ends(folder)] == [(3, False)]
    assert (folder / "state").exists(), "it tells the next start that there is something to mend"
    supervisor.stop()


def test_a_program_that_does_not_exist_says_so_in_its_output(folder: Path) -> None:
    supervisor = start(folder, command(folder, ["/no/such/program"]))
    supervisor.wait()
    assert [end["status"] for end in ends(folder)] == [127]
    assert "/no/such/program: " in (folder / "server").read_text()
    supervisor.stop()


def test_a_supervisor_that_cannot_start_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.lab.supervisor._SCRIPT", folder / "no-supervisor.py")
    with pytest.raises(ServerFailed, match=r"could not be started: .*no-supervisor\.py"):
        start(folder, command(folder, SLEEP))


@pytest.mark.parametrize("words", [(), ("fork",)])
def test_when_the_owner_is_killed_the_servers_end(folder: Path, owners: list[Owner], words: tuple[str, ...]) -> None:
    owners.append(owner := Owner(folder, *words))
    owner.process.kill()
    owner.process.wait()
    assert wait_for(lambda: all_ended(owner.everyone()), 60)
    assert not (folder / "state").exists()
    assert not (folder / "gone").exists()


def test_when_the_owner_is_killed_even_stubborn_servers_end(folder: Path, owners: list[Owner]) -> None:
    owners.append(owner := Owner(folder, argv=STUBBORN, grace=0.2))
    owner.process.kill()
    owner.process.wait()
    assert wait_for(lambda: all_ended(owner.everyone()), 60)


def test_detached_servers_outlive_their_owner_until_they_are_asked(folder: Path, owners: list[Owner]) -> None:
    owners.append(owner := Owner(folder, "detach"))
    assert owner.process.wait(60) == 0
    assert all(process.alive() for process in owner.everyone())
    end_supervisor(owner.supervisor, owner.servers, 60)
    assert all_ended(owner.everyone())
    assert not (folder / "state").exists()


def test_ctrl_c_in_the_owners_terminal_does_not_reach_the_servers(folder: Path, owners: list[Owner]) -> None:
    owners.append(owner := Owner(folder, "detach"))
    assert {os.getsid(process.pid) for process in owner.everyone()} == {owner.supervisor.pid}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process die with its parent")
def test_when_the_supervisor_is_killed_linux_ends_the_servers(folder: Path, owners: list[Owner]) -> None:
    owners.append(owner := Owner(folder, "detach", argv=STUBBORN))
    owner.supervisor.send_signal(signal.SIGKILL)
    assert wait_for(lambda: all_ended(owner.servers), 60)


def test_servers_inherit_no_files_from_the_owner(folder: Path) -> None:
    with (folder / "open").open("w"):
        listing = ["/bin/sh", "-c", "ls /dev/fd/"]
        supervisor = start(folder, command(folder, listing))
        supervisor.wait()
    # 3 is the listing itself
    assert set((folder / "server").read_text().split()) <= {"0", "1", "2", "3"}
    supervisor.stop()


#: A supervisor whose owner is gone looks at what that has said last.
LOOK = """
from labkit.lab.supervisor_process import SupervisorProcess
spec = {"owner": 1, "servers": [], "exits": "", "requests": None, "state": None, "remove": []}
supervisor = SupervisorProcess(spec)
supervisor._look_at_owner()
print(supervisor.stopping)
"""


@pytest.mark.parametrize(("words", "stops"), [("detach\n", "False"), ("", "True")], ids=["detach", "nothing"])
def test_the_last_word_of_an_owner_that_is_gone_counts(words: str, stops: str) -> None:
    answer = subprocess.run([sys.executable, "-c", LOOK], input=words, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == stops


@pytest.mark.parametrize("size", [1, 1_000_000], ids=["small", "more than fits into a pipe"])
def test_a_supervisor_that_stands_still_at_its_start_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    script = folder / "still.py"
    script.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()\n")
    monkeypatch.setattr(module, "_SCRIPT", script)
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr(module, "MARGIN", 0.1)
    let_go: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(module, "_let_go", let_go)
    with pytest.raises(ServerFailed, match=r"their supervisor has not answered for 0\.2 s"):
        start(folder, command(folder, ["/bin/true", "x" * size]))
    assert let_go[0].wait(60) == -signal.SIGKILL


class Remains:
    """A process that is left over; it notes what is done to it."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def send_signal(self, number: int) -> None:
        self.notes.append(f"{self.name} {signal.Signals(number).name}")

    def wait(self, timeout: float) -> bool:
        self.notes.append(f"{self.name} is waited for")
        return True

    def alive(self) -> bool:
        return not self.wait(0)


def test_what_a_killed_supervisor_has_left_is_killed_before_any_of_it_is_waited_for() -> None:
    notes: list[str] = []
    supervisor, *servers = (Remains(name, notes) for name in ("supervisor", "a", "b", "c"))
    end_supervisor(supervisor, servers, 0.0)  # type: ignore[arg-type]
    assert notes[2:5] == ["a SIGKILL", "b SIGKILL", "c SIGKILL"]
    assert set(notes[5:]) == {f"{name} is waited for" for name in "abc"}

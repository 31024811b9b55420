"""A run of the tests ends, whatever a test does, and says which test hung and where its threads stood.

Three things watch over a test. A thread of its process gives up when pytest-timeout's limit is over, and describes
what it sees. A timer in C does so a little later, for the interpreter may stand still. And the parent of the
processes looks at each of them from outside: one that is stopped is killed, and one that is gone is known to be
gone, though a child of it may hold its pipe open.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_timeout
from _pytest._io import TerminalWriter
from xdist.workermanage import Marker, WorkerController

#: Seconds that collecting the tests may take, and as many for the process to end after the last test.
AROUND_TESTS = 600.0
#: How often the parent looks at its processes, in seconds.
LOOK = 0.5
#: Frames of what runs the tests, which say nothing about a test.
MACHINERY = re.compile(r"/(_pytest|pluggy|xdist|execnet)/|^<string>$|File \"<string>\"")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("watchdog_grace", "seconds after which the next watcher takes over from the one before", default="10")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    told = getattr(config, "workerinput", {}).get("watchdog")
    config.pluginmanager.register(_Watched(config, Path(told) if told else None), "labkit-watched")
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(_Parent(config), "labkit-watching")


class _Watched:
    """In the process that runs tests."""

    def __init__(self, config: pytest.Config, report: Path | None) -> None:
        self._config = config
        self._grace = float(config.getini("watchdog_grace"))
        self._report = report  # where the parent reads what became of a test; without a parent, the terminal
        self._descriptor = os.open(report, os.O_RDWR | os.O_CREAT) if report else os.dup(2)
        self._timer: threading.Timer | None = None
        self._limit = 0.0
        if report:
            faulthandler.enable(file=self._descriptor)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool:
        self._limit = time.monotonic() + settings.timeout
        if self._report:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, f"{self._limit:.3f} {item.nodeid} may take {settings.timeout:g} s\n".encode())
        self._timer = threading.Timer(settings.timeout, self._give_up, (item, settings))
        self._timer.name = f"the limit of {item.nodeid}"
        self._timer.daemon = True
        self._timer.start()
        self._arm(settings.timeout + self._grace)
        return True

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> bool:
        """Do not believe pytest-timeout that a failed test needs no limit: what cleans up after it may hang too."""
        if self._config.getoption("usepdb"):
            self._disarm()
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        """Set the timer in C again, which pytest cancels at each failure."""
        if self._timer is not None:
            self._arm(self._limit + self._grace - time.monotonic())

    def pytest_enter_pdb(self) -> None:
        self._disarm()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self._disarm()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        self._arm(AROUND_TESTS)
        try:
            return (yield)
        finally:
            self._disarm()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if not self._report:  # the parent ends its processes itself
            self._arm(AROUND_TESTS)

    def _arm(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(max(seconds, 1.0), exit=True, file=self._descriptor)

    def _disarm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._report:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)

    def _give_up(self, item: pytest.Item, settings: Any) -> None:
        if not settings.disable_debugger_detection and pytest_timeout.is_debugging():
            return
        try:
            self._describe(item, settings.timeout)
        finally:
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(1)

    def _describe(self, item: pytest.Item, timeout: float) -> None:
        with os.fdopen(os.dup(self._descriptor), "w", errors="backslashreplace") as file:
            writer = TerminalWriter(file)
            writer.sep("+", f"{item.nodeid} hangs: it has not ended after {timeout:g} s")
            for name, stack in _stacks():
                writer.sep("~", f"where {name} stands")
                writer.write(stack)
            writer.flush()
            capture = self._config.pluginmanager.getplugin("capturemanager")
            if capture is not None:
                capture.suspend_global_capture(True)
                for name, text in zip(("stdout", "stderr"), capture.read_global_capture(), strict=True):
                    if text:
                        writer.sep("~", f"captured {name}")
                        writer.write(text)


def _stacks() -> list[tuple[str, str]]:
    """The stack of each thread but this one, from where it enters our code; the main thread's comes last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = [(ident, frame) for ident, frame in sys._current_frames().items() if ident != threading.get_ident()]
    stacks = []
    for ident, frame in sorted(frames, key=lambda item: item[0] == threading.main_thread().ident):
        ours = [one for one in traceback.extract_stack(frame) if not MACHINERY.search(one.filename)]
        if ours:
            stacks.append((names.get(ident, "an unknown thread"), "".join(traceback.format_list(ours))))
    return stacks


def _own_lines(dump: str) -> str:
    """What the timer in C has written, without the frames of pytest and below."""
    return "\n".join(line for line in dump.splitlines() if not (line.startswith("  File ") and MACHINERY.search(line)))


def _has_more_to_say(node: WorkerController) -> bool:
    """Whether something of a process that is gone has not been read yet: what comes after its end breaks the run."""
    try:
        return bool(select.select([node.gateway._io.infile], [], [], 0)[0])
    except (OSError, ValueError):  # it has just been closed, so all was read
        return False


class _Parent:
    """In the process that has others run tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._grace = float(config.getini("watchdog_grace"))
        self._folder = Path(config._tmp_path_factory.mktemp("watchdog"))
        self._nodes: list[WorkerController] = []
        self._died = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput["watchdog"] = str(self._file(node))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: WorkerController) -> None:
        self._nodes.append(node)
        if len(self._nodes) == 1:
            self._thread.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        self._died |= bool(error)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """Let the failure show where the test stood."""
        _, _, said = self._said(report.node).partition(" ")
        report.longrepr = f"{report.longrepr}\n{_own_lines(said)}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A process that died between two tests has failed no test, but the run."""
        self._over.set()
        if self._died and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _file(self, node: WorkerController) -> Path:
        return self._folder / f"{node.gateway.id}.txt"

    def _said(self, node: WorkerController) -> str:
        file = self._file(node)
        return file.read_text(errors="replace") if file.exists() else ""

    def _watch(self) -> None:
        gone: dict[WorkerController, float] = {}
        while not self._over.wait(LOOK):
            now = time.monotonic()
            for node in self._nodes:
                if node.gateway._io.popen.poll() is None:
                    self._kill_if_late(node, now)
                elif node._down:
                    continue
                elif _has_more_to_say(node):
                    gone.pop(node, None)
                elif now - gone.setdefault(node, now) > self._grace:
                    node.process_from_remote(Marker.END)

    def _kill_if_late(self, node: WorkerController, now: float) -> None:
        limit, _, _ = self._said(node).partition(" ")
        if limit and now > float(limit) + 2 * self._grace:
            with self._file(node).open("a") as file:
                file.write("It was stopped from outside, and is killed.\n")
            node.gateway._io.popen.kill()

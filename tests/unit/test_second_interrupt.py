"""A second Ctrl-C while something is being ended: all of it ends, in bounded time, and the interrupt comes then."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from labkit.api.server import ApiServer
from labkit.celery_app.beat import Beat
from labkit.dispatch.demo import Demo
from labkit.dispatch.dispatcher import Dispatcher
from labkit.dispatch.session import CelerySession
from labkit.errors import WorkerFailed
from labkit.policies import PriorityClass, make_policy
from labkit.process.child_process import STOP_TIMEOUT
from labkit.settings import Settings
from labkit.taskqueue.lab_process import LabProcess
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport

SETTINGS = Settings(_env_file=None)


@pytest.fixture(autouse=True)
def _python_s_own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Part:
    """A thread, a process, a member or a client, at whose end Ctrl-C comes; it notes the limits that it is given."""

    ident, name = 1, "part"

    def __init__(self, *, hangs: bool = False, fails: bool = False):
        self.limits, self.is_asked, self.is_ended = [], False, False
        self.hangs, self.fails = hangs, fails

    def ask_to_stop(self):
        self.is_asked = True

    def join(self, timeout: float | None = STOP_TIMEOUT):
        self.limits.append(timeout)
        signal.raise_signal(signal.SIGINT)
        self.is_ended = not self.hangs
        if self.fails:
            raise WorkerFailed("it failed")

    def alive(self):
        return not self.is_ended

    is_alive = alive

    def close(self):
        self.join()


class Process(LabProcess):
    def __init__(self, child):
        self._child = child

    def _is_ready(self):
        return True


def beat(thread: Part, app: Part) -> Beat:
    made = Beat.__new__(Beat)
    made._stop, made._thread, made._app = threading.Event(), thread, app
    return made


def dispatcher(topics, thread: Part, sender: Part, *members: Part) -> Dispatcher:
    topic = topics.create("t", partitions=1)
    made = Dispatcher(
        [topic], [PriorityClass(name="a")], make_policy("strict"), sender, group="g", name="d", settings=SETTINGS
    )
    made._members, made._thread = list(members), thread
    return made


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def test_a_process_ends():
    child = Part()
    with pytest.raises(KeyboardInterrupt):
        Process(child).stop()
    assert child.is_ended


@pytest.mark.parametrize("kind", [CelerySession, Demo])
def test_all_that_a_session_or_a_demo_has_begun_ends(kind):
    parts, made = [Part(), Part(), Part()], kind.__new__(kind)
    made._stack = made._running = ExitStack()
    for part in parts:
        made._stack.callback(part.join)
    with pytest.raises(KeyboardInterrupt):
        made.close()
    assert all(part.is_ended for part in parts)


def test_beat_ends():
    thread, app = Part(), Part()
    with pytest.raises(KeyboardInterrupt):
        beat(thread, app).stop()
    assert thread.is_ended
    assert app.is_ended
    assert thread.limits == [STOP_TIMEOUT]


def test_the_api_ends():
    thread, socket, made = Part(), Part(), ApiServer.__new__(ApiServer)
    made._thread, made._socket, made._server = thread, socket, SimpleNamespace()
    with pytest.raises(KeyboardInterrupt):
        made.stop()
    assert thread.is_ended
    assert socket.is_ended
    assert thread.limits == [STOP_TIMEOUT]


def test_all_parts_of_a_dispatcher_end(topics):
    parts = thread, sender, first, second = Part(), Part(), Part(), Part()
    with pytest.raises(KeyboardInterrupt):
        dispatcher(topics, thread, sender, first, second).stop()
    assert all(part.is_ended for part in parts)


def test_a_dispatcher_says_which_parts_did_not_end_and_ends_the_others(topics, monkeypatch):
    monkeypatch.setattr(signal, "raise_signal", lambda number: None)
    thread, sender = Part(hangs=True), Part()
    members = [Part(fails=True), Part(), Part(fails=True)]
    said = "^it failed it failed d did not stop within 30 s, and its thread is left behind"
    with pytest.raises(WorkerFailed, match=said):
        dispatcher(topics, thread, sender, *members).stop()
    assert all(member.is_asked and member.is_ended for member in members)
    assert not sender.limits, "the thread may be at it to send"
    assert thread.limits == [STOP_TIMEOUT]
    limits = [member.limits for member in members]
    assert all(one <= STOP_TIMEOUT for [one] in limits)
    assert limits == sorted(limits, reverse=True), "they have the time together"

"""What is told over the private descriptors: whatever it is, the grader has an answer, in bounded time and memory."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox import Ended, Ending, Late, Limits, Malformed, Said, TooLong, control_group
from labkit.grading.sandbox.conversation import PipeConversation
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE, in_time
from tests.integration.grading.conftest import Sandbox

MODEST = Limits(line=1000)
DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[object]:
    """Start code with short lines only."""
    started: list[PipeConversation] = []

    def start(code: str, limits: Limits = MODEST) -> PipeConversation:
        code = "import os, sys, time\ndef tell(line): os.write(65, line)\n" + code
        started.append(sandbox.start([sys.executable, "-I", "-c", code], limits=limits))
        return started[-1]

    yield start
    for conversation in started:
        conversation.close()


def test_what_it_is_told_comes_back_as_it_was(start):
    conversation = start("while True: tell(os.read(64, 9999))")
    for value in [None, True, 1.5, "ä\n", [1, [2]], {"a": {}}, 2**70]:
        assert conversation.send(value, PATIENCE)
        assert conversation.receive(PATIENCE) == Said(value)


def test_a_watch_that_fails_is_no_doing_of_the_command_s(start, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of order")

    monkeypatch.setattr(PipeConversation, "_attend", fail)
    with pytest.raises(SandboxUnavailable, match="out of order"):
        start("time.sleep(600)").receive(PATIENCE)


#: In Python, as the code inside writes them.
MALFORMED = {
    "no-json": r"""b"{'a': 1}" """,
    "nothing": "b''",
    "no-utf-8": r"""b'"\xff\xfe"' """,
    "half": """b'{"a": ' """,
    "two-values": "b'1 2'",
    "zero-byte": r"b'\0'",
    "carriage": r"""b'"a\rb"' """,
    "pickle": r"b'\x80\x04K\x01.'",
    "deep": "b'[' * 500_000 + b']' * 500_000",
    "deep-objects": """b'{"a":' * 100_000 + b'1' + b'}' * 100_000""",
    "long-number": "b'1' * 100_000",
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_a_line_that_is_no_json_says_so_and_the_next_one_counts(start, line):
    code = f"rest = {line.strip()} + b'\\n'\nwhile rest: rest = rest[os.write(65, rest):]\n"
    conversation = start(code + "tell(b'1\\n'); time.sleep(3600)", Limits())
    assert isinstance(conversation.receive(PATIENCE), Malformed)
    assert conversation.receive(PATIENCE) == Said(1)


def test_a_line_that_is_too_long_is_the_last_that_is_heard(start):
    conversation = start("tell(b'x' * 1001 + b'\\n'); tell(b'1\\n'); time.sleep(3600)")
    assert conversation.receive(PATIENCE) == TooLong(1000)
    assert conversation.receive(PATIENCE) == TooLong(1000)


def test_a_line_without_end_is_heard_no_further_than_its_limit(start):
    conversation = start("while True: tell(b'x' * 1000)")
    assert conversation.receive(PATIENCE) == TooLong(1000)
    assert len(conversation._heard) < 100_000


def test_lines_that_nobody_listens_to_stay_in_the_pipe(start):
    conversation = start("print('begun', flush=True)\nwhile True: tell(b'1\\n')")
    assert conversation.receive(PATIENCE) == Said(1)
    assert len(conversation._heard) < 100_000
    in_time(conversation.close)


def test_half_a_line_is_none(start):
    conversation = start("tell(b'1')")
    assert conversation.receive(PATIENCE) == Ended(Ending(0, "It ended with status 0."))


def test_the_last_lines_are_heard_behind_the_end(start):
    conversation = start("tell(b'1\\n2\\n')")
    assert conversation.wait(PATIENCE) is not None
    assert [conversation.receive(PATIENCE) for _ in range(2)] == [Said(1), Said(2)]
    assert isinstance(conversation.receive(PATIENCE), Ended)


def test_a_command_that_says_nothing_is_late_and_may_still_say_it(start):
    conversation = start("os.read(64, 1); tell(b'1\\n'); time.sleep(3600)")
    assert conversation.receive(0.05) == Late(0.05)
    assert conversation.send(1, PATIENCE)
    assert conversation.receive(PATIENCE) == Said(1)


def test_one_that_does_not_listen_is_not_waited_for(start):
    conversation = start("time.sleep(3600)")
    assert not conversation.send("x" * 200_000, 0.05)
    assert not conversation.send(1, 0.05)  # it would be taken for the rest of the line


@pytest.mark.parametrize("closes", ["os.close(65)", "os.closerange(0, 256)"], ids=["the-report", "all"])
def test_one_that_closes_its_descriptors_is_ended(start, closes):
    conversation = start(f"{closes}; time.sleep(3600)")
    reply = conversation.receive(PATIENCE)
    assert isinstance(reply, Ended)
    assert "closed the descriptors" in reply.ending.words


def test_a_status_and_a_signal_are_told(start):
    assert start("sys.exit(3)").wait(PATIENCE) == Ending(3, "It ended with status 3.")
    assert start("os.abort()").wait(PATIENCE) == Ending(134, "It ended by SIGABRT.")
    assert start("sys.exit(255)").wait(PATIENCE) == Ending(255, "It ended with status 255.")


def test_closing_wakes_who_listens(start):
    conversation = start("time.sleep(3600)")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(conversation.receive(3600)))
    thread.start()
    in_time(conversation.close)
    in_time(thread.join)
    assert isinstance(replies[0], Ended)
    in_time(conversation.close)
    assert isinstance(conversation.receive(PATIENCE), Ended)
    assert not conversation.send(1, PATIENCE)


def test_files_that_are_handed_in_lie_there_read_only(sandbox):
    code = "import os; os.write(65, b'%d\\n' % len(open('/data/tasks.csv').read())); open('/data/tasks.csv', 'a')"
    with sandbox.start([sys.executable, "-I", "-c", code], files={"/data/tasks.csv": b"1,2\n"}) as conversation:
        assert conversation.receive(PATIENCE) == Said(4)
        conversation.wait(PATIENCE)
        assert "PermissionError" in conversation.output() or "Read-only" in conversation.output()


def test_a_command_that_is_not_there_says_so(sandbox):
    with sandbox.start(["/nowhere/python"]) as conversation:
        assert isinstance(conversation.receive(PATIENCE), Ended)
        assert "No such file" in conversation.output()


def held() -> set[object]:
    """Threads of this process, and its descriptors with what each is for. Those of earlier tests may go any time."""
    found: set[object] = {*threading.enumerate()}
    for descriptor in list(DESCRIPTORS.iterdir()):
        with suppress(FileNotFoundError):  # that by which the folder was read, or one that has gone
            found.add((descriptor, descriptor.readlink()))
    return found


def test_nothing_is_left_of_it(sandbox, monkeypatch):
    """No descriptor, no thread, no control group, no folder."""

    def run(command):
        with sandbox.start(command) as conversation:
            conversation.wait(PATIENCE)

    run([sys.executable, "-c", "pass"])  # what a process has once is there now
    before = held()
    with tempfile.TemporaryDirectory() as own:  # not as deep as pytest's, for the sake of sockets
        monkeypatch.setattr(tempfile, "tempdir", own)
        run([sys.executable, "-c", "pass"])
        run(["/nowhere"])
        assert not list(Path(own).iterdir())
    wait_until(lambda: held() <= before, timeout=PATIENCE, what="all was to be gone")
    assert not list(control_group.ROOT.rglob(f"*{control_group.PREFIX}-{os.getpid()}-*"))


def test_a_start_that_fails_leaves_nothing(bubblewrap, monkeypatch):
    """As where bwrap was taken away meanwhile, or there are no descriptors left."""
    before = held()
    monkeypatch.setattr("labkit.grading.sandbox.bubblewrap._ENTRY", "exec /nowhere")
    with bubblewrap.start([sys.executable, "-c", "pass"]) as conversation:
        assert isinstance(conversation.receive(PATIENCE), Ended)
    monkeypatch.setattr("os.memfd_create", lambda name: os.open("/nowhere", os.O_RDONLY))
    with pytest.raises(FileNotFoundError):
        bubblewrap.start([sys.executable, "-c", "pass"])
    wait_until(lambda: held() <= before, timeout=PATIENCE, what="all was to be gone")


@pytest.mark.parametrize("first", range(58, 66))
def test_the_numbers_of_the_grader_s_own_descriptors_do_not_matter(sandbox, first):
    with ExitStack() as stack:
        while (number := os.open(os.devnull, os.O_RDONLY)) < first:
            stack.callback(os.close, number)
        os.close(number)
        code = "import os; os.write(65, os.read(64, 10))"
        conversation = stack.enter_context(sandbox.start([sys.executable, "-I", "-S", "-c", code]))
        assert conversation.send(first, PATIENCE)
        assert conversation.receive(PATIENCE) == Said(first)

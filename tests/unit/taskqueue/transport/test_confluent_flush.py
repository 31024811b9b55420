"""A flush ends by what interrupts it, and what the library calls back meanwhile is not the main thread's to run."""

import logging
import signal
import subprocess
import sys
import threading

import pytest
from confluent_kafka import Producer

from labkit.taskqueue.transport.confluent.client import flush
from tests.conditions import PATIENCE

#: Longer than any test may take.
HOURS = 7200.0


class Presses(logging.Handler):
    """Presses Ctrl-C when it is called for the first time, and notes on which thread that was."""

    def __init__(self, logger):
        super().__init__()
        self.logger, self.called_on = logger, None
        logger.addHandler(self)

    def emit(self, record):
        self.logger.removeHandler(self)
        self.called_on = threading.current_thread()
        # To this thread: the main thread's wait is not interrupted, as when the signal comes just before it begins.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)


@pytest.fixture
def logger():
    return logging.Logger("of the library")


@pytest.fixture
def full(logger):
    """A client with a record that nobody takes; the library logs that it reaches nobody."""
    client = Producer({"bootstrap.servers": "127.0.0.1:1"}, logger=logger)
    client.produce("t", b"x")
    yield client
    client.purge()


def test_a_flush_is_interrupted_while_the_library_calls_back(full, logger):
    presses = Presses(logger)
    with pytest.raises(KeyboardInterrupt):
        flush(full, HOURS)
    assert presses.called_on is not threading.main_thread()


def test_a_flush_says_what_is_left_when_its_time_is_over(full):
    assert flush(full, 0.25) == 1
    full.purge()
    assert flush(full, PATIENCE) == 0


NESTED = """
from functools import partial
from confluent_kafka import Producer
from labkit.taskqueue.transport.confluent.client import apart, flush

calls = []

def nested(error, message):
    calls.append(message.value())
    {call}

client = Producer({{"bootstrap.servers": "127.0.0.1:1"}})
for value in (b"a", b"b", b"c"):
    client.produce("t", value, on_delivery=nested)
client.purge(blocking=False)
while len(calls) < 3:
    apart(partial(client.poll, 0.1))
print(sorted(calls))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    ["apart(partial(client.poll, 0))", "flush(client, 0)", "apart(partial(apart, partial(client.poll, 0)))"],
)
def test_a_callback_may_call_the_library(call):
    """As `on_receipt` does that submits while the buffer is full: the library itself would end the process."""
    code = NESTED.format(call=call)
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "[b'a', b'b', b'c']\n"), ended.stderr


def test_a_thread_that_cannot_be_started_loses_no_flush(full, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert flush(full, 0.25) == 1

"""Signals that are acted upon without a lock, and work that none of them cuts short."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

from labkit.process.signals import held_back, on_signals, signal_name
from labkit.taskqueue.timeouts import wait_until

LONG = 60


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_a_signal_can_set_what_its_own_thread_holds_the_lock_of():
    """With a lock in the handler, the thread that holds it would wait for itself."""
    event = threading.Event()
    with on_signals((signal.SIGUSR1,), lambda _: event.set()):
        with event._cond:
            send(signal.SIGUSR1)
        assert event.wait(LONG)


def test_each_signal_is_acted_upon_and_what_fails_does_not_stop_the_next(caplog):
    heard = []

    def act(number):
        heard.append(number)
        if len(heard) == 1:
            raise ValueError("not yet")

    with caplog.at_level(logging.ERROR), on_signals((signal.SIGUSR1, signal.SIGUSR2), act):
        send(signal.SIGUSR1)
        wait_until(lambda: len(heard) == 1, timeout=LONG, what="the first was to come")
        send(signal.SIGUSR2)
        wait_until(lambda: len(heard) == 2, timeout=LONG, what="the second was to come")
    assert heard == [signal.SIGUSR1, signal.SIGUSR2]
    assert "SIGUSR1 could not be acted upon" in caplog.text


def test_the_second_one_has_its_former_effect_where_it_is_wished_and_all_have_it_afterwards():
    before = signal.getsignal(signal.SIGINT)
    came = threading.Event()
    with on_signals((signal.SIGINT,), lambda _: came.set(), once=(signal.SIGINT,)):
        send(signal.SIGINT)
        assert came.wait(LONG)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


#: A program that heeds SIGTERM, and forks; the copy is ended by it. Says with what it ended, and whether it was told.
FORKS = """
import os, signal, threading, time
from labkit.process.signals import on_signals
told = threading.Event()
is_there, says = os.pipe()
with on_signals((signal.SIGTERM,), lambda _: told.set()):
    copy = os.fork()
    if copy == 0:
        os.write(says, b" ")  # Python forgets what signals come in the middle of a fork
        while True:
            time.sleep(0.01)
    os.read(is_there, 1)
    os.kill(copy, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    print(status, told.is_set())
    os.kill(os.getpid(), signal.SIGTERM)
    print(told.wait(60))
"""


def test_a_signal_to_a_forked_copy_ends_that_and_is_not_heard_here():
    said = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True, timeout=LONG)
    assert said.stdout == f"{-signal.SIGTERM} False\nTrue\n"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (40, "signal 40"), (500, "signal 500")])
def test_a_signal_without_a_name_has_a_number(number, name):
    assert signal_name(number) == name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_must_not_be_cut_short_is_not_and_the_interrupt_comes_afterwards(number):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = signal.signal(number, interrupted)
    done = 0
    try:
        with pytest.raises(KeyboardInterrupt), held_back():  # noqa: PT012 - it comes at the end
            for _ in range(100):
                send(number)
                done += 1
        assert signal.getsignal(number) is interrupted
    finally:
        signal.signal(number, before)
    assert done == 100


@pytest.mark.parametrize("raising", [signal.SIGINT, signal.SIGTERM])
def test_of_several_that_came_each_has_its_effect_also_where_that_of_one_is_an_error(raising):
    """As a Ctrl-C and a SIGTERM that come while a group ends."""
    had = []

    def act(number, _):
        had.append(number)
        if number == raising:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, act) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt), held_back():  # noqa: PT012 - it comes at the end
            for number in before:
                send(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert sorted(had) == [signal.SIGINT, signal.SIGTERM]


def test_a_signal_that_nobody_heeds_stays_so_and_other_threads_need_no_shelter():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        with pytest.raises(ValueError, match="as it was"), held_back():
            raise ValueError("as it was")
    finally:
        signal.signal(signal.SIGINT, before)
    handlers = []

    def elsewhere():
        with held_back():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [before]

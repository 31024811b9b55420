"""Effects are taken in by the sink's own clock and order; who says or does too much is cut off, for a named reason."""

from __future__ import annotations

import errno
import json
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from labkit.errors import GradingFailed
from labkit.grading import effect_sink
from labkit.grading.behaviour.effect_program import Effects
from labkit.grading.effect_connection import CONNECTIONS
from labkit.grading.effect_sink import LINE, Effect, EffectSink
from labkit.lab.condition import wait_for
from tests.conditions import PATIENCE, in_time


@pytest.fixture
def sink() -> Iterator[EffectSink]:
    ticks = count()
    with EffectSink(clock=lambda: float(next(ticks))) as started:
        yield started


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(str(path))
    return connection


def tell(connection: socket.socket, what: str, task: str) -> bytes:
    connection.sendall(json.dumps([what, task]).encode() + b"\n")
    return connection.recv(16)


def test_effects_have_one_order_and_the_sink_s_time_and_nobody_speaks_for_another(sink: EffectSink) -> None:
    with connected(sink.open("worker 1")) as one, connected(sink.open("worker 2")) as two:
        assert tell(one, "began", "a") == b"ok\n"
        assert tell(two, "done", "b") == b"ok\n"
        assert tell(one, "done", "a") == b"ok\n"
    first, second, third = sink.effects()
    assert (first.number, first.what, first.task, first.worker) == (0, "began", "a", "worker 1")
    assert (second.number, second.what, second.task, second.worker) == (1, "done", "b", "worker 2")
    assert first.at < second.at < third.at < sink.now()


def test_a_task_that_is_held_waits_and_the_others_do_not(sink: EffectSink) -> None:
    path = sink.open("worker")
    sink.hold(lambda effect: effect.task == "held")
    with connected(path) as one, connected(path) as two:
        one.sendall(b'["began", "held"]\n')
        assert wait_for(lambda: bool(sink.held()), PATIENCE)
        assert tell(two, "began", "free") == b"ok\n"
        one.settimeout(0.1)
        with pytest.raises(TimeoutError):
            one.recv(16)
        one.settimeout(PATIENCE)
        sink.let_go()
        assert one.recv(16) == b"ok\n"
        assert sink.held() == []
        assert tell(two, "began", "held") == b"ok\n"


def test_a_worker_may_be_held_when_it_has_done_a_task(sink: EffectSink) -> None:
    sink.hold(lambda effect: effect.what == "done")
    with connected(sink.open("worker")) as one:
        assert tell(one, "began", "a") == b"ok\n"
        one.sendall(b'["done", "a"]\n')
        assert wait_for(lambda: bool(sink.held()), PATIENCE)
        assert [effect.what for effect in sink.effects()] == ["began", "done"]
        sink.let_go()
        assert one.recv(16) == b"ok\n"


def test_what_is_refused_has_not_begun(sink: EffectSink) -> None:
    refused: list[str] = []

    def refuses(effect: Effect) -> bool:
        refused.append(effect.task)
        return len(refused) < 3

    path = sink.open("worker")
    sink.refuse(refuses)
    effects = Effects(str(path), 0.0)
    for _ in range(2):
        with pytest.raises(OperationalError):
            effects.work("a")
    effects.work("a")
    assert refused == ["a"] * 3
    assert [(effect.number, effect.what) for effect in sink.effects()] == [(0, "began"), (1, "done")]
    effects._own.connection.close()


def test_a_worker_that_dies_holds_nothing(sink: EffectSink) -> None:
    sink.hold(lambda _: True)
    connection = connected(sink.open("worker"))
    connection.sendall(b'["began", "held"]\n')
    assert wait_for(lambda: bool(sink.held()), PATIENCE)
    connection.close()
    assert wait_for(lambda: not sink.held(), PATIENCE)
    assert [effect.task for effect in sink.effects()] == ["held"]


def test_the_order_to_stop_reaches_who_asks_before_and_after_it(sink: EffectSink) -> None:
    path = sink.open("worker")
    with connected(path) as early, connected(path) as late, connected(sink.open("other")) as other:
        early.sendall(b'["orders", ""]\n')
        assert tell(other, "began", "a") == b"ok\n"
        sink.ask_to_stop("worker")
        assert early.recv(16) == b"stop\n"
        assert tell(late, "orders", "") == b"stop\n"
        assert tell(other, "done", "a") == b"ok\n"


LONG = b'["began", "' + b"x" * LINE + b'"]\n'


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"nonsense\n", "neither the beginning nor the end"),
        (b"\xff\xfe\x00\n", "neither the beginning nor the end"),
        (b"\n", "neither the beginning nor the end"),
        (b'["praised", "a"]\n', "neither the beginning nor the end"),
        (b'["done", 1]\n', "neither the beginning nor the end"),
        (b'["done", "\\ud800"]\n', "neither the beginning nor the end"),
        (b"[" * LINE + b"\n", "neither the beginning nor the end"),
        (LONG, "neither the beginning nor the end|more than 2000 bytes"),
        (b"x" * (LINE + 1), "more than 2000 bytes"),
    ],
)
def test_what_is_no_effect_ends_the_worker_s_connections_and_no_other_s(
    sink: EffectSink, said: bytes, why: str
) -> None:
    path = sink.open("worker")
    with connected(path) as quiet, connected(path) as bad, connected(sink.open("other")) as other:
        assert tell(quiet, "began", "a") == b"ok\n"
        bad.sendall(said)
        assert ended(bad)
        assert ended(quiet)
        assert re.search(why, sink.fault("worker") or "")
        with pytest.raises(OSError, match="refused"):
            connected(path)
        assert tell(other, "done", "b") == b"ok\n"
        assert sink.fault("other") is None


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(16) == b""
    except ConnectionError:
        return True


def test_half_a_line_and_silence_harm_nobody(sink: EffectSink) -> None:
    path = sink.open("worker")
    with connected(path) as silent, connected(path) as half, connected(path) as third:
        half.sendall(b'["beg')
        assert tell(third, "began", "a") == b"ok\n"
        half.sendall(b'an", "b"]\n["done", "b"]\n')
        assert silent.fileno() > 0
        assert wait_for(lambda: len(sink.effects()) == 3, PATIENCE)
    assert sink.fault("worker") is None


def test_too_many_connections_are_a_fault(sink: EffectSink) -> None:
    path = sink.open("worker")
    many = [connected(path) for _ in range(CONNECTIONS)]
    assert tell(many[-1], "began", "a") == b"ok\n"
    with connected(path) as late:
        assert ended(late)
    assert "32 connections" in (sink.fault("worker") or "")
    for connection in many:
        connection.close()


@pytest.mark.parametrize("answers_are_read", [True, False])
def test_a_flood_is_a_fault_and_bounded(answers_are_read: bool) -> None:
    with EffectSink(clock=lambda: 0.0) as sink, connected(sink.open("worker")) as flood:
        in_time(lambda: flood_until_cut_off(flood, answers_are_read=answers_are_read))
        assert wait_for(lambda: sink.fault("worker") is not None, PATIENCE)
        assert len(sink.effects()) <= effect_sink.RATE


def flood_until_cut_off(connection: socket.socket, *, answers_are_read: bool) -> None:
    with suppress(ConnectionError):
        while True:
            connection.sendall(b'["done", "a"]\n')
            if answers_are_read:
                connection.recv(16)


def test_more_than_so_many_are_a_fault_also_when_they_come_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.grading.effect_connection.MOST", 3)
    with EffectSink() as sink, connected(sink.open("worker")) as connection:
        for _ in range(3):
            assert tell(connection, "done", "a") == b"ok\n"
        connection.sendall(b'["done", "a"]\n')
        assert ended(connection)
        assert "altogether" in (sink.fault("worker") or "")


@pytest.mark.parametrize(
    ("limit", "what", "why"),
    [
        ("effect_connection.MOST", lambda path: tells(path, b'["orders", ""]\n'), "altogether"),
        ("effect_connection.OPENED", lambda path: connected(path).close(), "one after the other"),
        ("effect_sink.PIECES", lambda path: tells(path, b"["), "pieces"),
    ],
)
def test_whatever_costs_the_grader_something_is_counted(
    monkeypatch: pytest.MonkeyPatch, limit: str, what: Callable[[Path], None], why: str
) -> None:
    """Also what is no task, and comes to nothing."""
    monkeypatch.setattr(f"labkit.grading.{limit}", 5)
    with EffectSink() as sink:
        path = sink.open("worker")

        def is_ended() -> bool:
            with suppress(OSError):
                what(path)
            return sink.fault("worker") is not None

        assert wait_for(is_ended, PATIENCE)
        assert why in (sink.fault("worker") or "")


def tells(path: Path, words: bytes) -> None:
    with connected(path) as connection:
        connection.sendall(words)


def test_what_the_sink_cannot_do_is_no_worker_s_fault(sink: EffectSink) -> None:
    def fails(_: object) -> bool:
        raise RuntimeError("out of order")

    path = sink.open("worker")
    sink.hold(fails)
    with connected(path) as connection:
        connection.sendall(b'["began", "a"]\n')
        assert ended(connection)
    for ask in (sink.effects, sink.held, lambda: sink.fault("worker")):
        with pytest.raises(GradingFailed, match=r"out of order\. Grade it again"):
            ask()


def test_one_that_is_ended_by_another_thread_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the worst moment: when the sink has looked who there is, and before it waits for them."""
    sink = EffectSink()
    path, other = sink.open("worker"), sink.open("other")
    with connected(path) as one, connected(other) as two:
        one.sendall(b'["orders", ""]\n')
        sink._turn()  # takes them in
        sink._turn()
        (connection,) = sink._workers["worker"].connections
        assert connection.takes_orders
        monkeypatch.setattr(connection, "answer", lambda _: False)
        poll = select.poll

        def late() -> select.poll:
            sink.ask_to_stop("worker")
            assert connection.socket.fileno() >= 0  # a number that is free would soon be another connection's
            return poll()

        with monkeypatch.context() as patch:
            patch.setattr(select, "poll", late)
            sink._turn()
        sink.start()
        assert ended(one)
        assert tell(two, "began", "a") == b"ok\n"
        assert "did not take" in (sink.fault("worker") or "")
    sink.close()


def test_without_room_for_a_connection_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits to be accepted is there at once when it looks again, and it would look without end."""
    monkeypatch.setattr(effect_sink, "PAUSE_MS", 0)
    sink, tried = EffectSink(), []

    class Full:
        def __init__(self, listener: socket.socket) -> None:
            self.fileno, self.close = listener.fileno, listener.close

        def accept(self) -> None:
            tried.append(1)
            raise OSError(errno.EMFILE, "Too many open files")

    path = sink.open("worker")
    teller = sink._workers["worker"]
    listener, teller.listener = teller.listener, Full(teller.listener)  # type: ignore[assignment]
    with connected(path) as late:
        for looks, tries in ((1, 1), (2, 1), (3, 2)):
            sink._turn()
            assert len(tried) == tries, looks
        teller.listener = listener
        sink.start()
        assert tell(late, "began", "a") == b"ok\n"
        assert sink.fault("worker") is None
    sink.close()


def test_closing_ends_all_of_it() -> None:
    sink = EffectSink()
    path = sink.open("worker")
    sink.close()  # it was never begun
    assert not path.exists()
    sink = EffectSink().start()
    path = sink.open("worker")
    with connected(path) as connection:
        sink.hold(lambda _: True)
        connection.sendall(b'["began", "a"]\n')
        assert wait_for(lambda: bool(sink.held()), PATIENCE)
        in_time(sink.close)
        in_time(sink.close)
        assert ended(connection)
    assert not path.parent.exists()

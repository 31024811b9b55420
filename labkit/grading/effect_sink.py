"""The sink of effects: where student code says which task it begins and has done, by the grader's clock and order.

A worker in the sandbox reaches it by a Unix socket of its own, so that it cannot speak for another one. It says a line
of JSON, `["began", TASK]` or `["done", TASK]`, and waits for the answer, a line `ok`. While the grader holds a task,
the answer does not come: so the grader can look at the broker, or kill the worker, at that very moment. The answer to a
beginning that is refused is the line `no`, and nothing has begun. Who says `["orders", ""]` is told the line `stop`
when the worker is to stop. Whatever else is said, and whatever is too much, ends the worker's connections, for a reason
that is kept.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from labkit.errors import GradingFailed
from labkit.grading.effect_connection import CONNECTIONS, MOST, PIECES, RATE, EffectConnection, EffectTeller
from labkit.grading.run_timeline import TimelineMark
from labkit.grading.sandbox.relay_program import PAUSE_MS
from labkit.process.socket_folder import make_socket_folder
from labkit.resource import Resource, end_all
from labkit.temporary_folder import remove_folder
from labkit.typed_values import json_decoder

#: How long a line may be, in bytes.
LINE = 2_000
#: The order to stop, and the answers to what was said.
STOP, OK, NO = b"stop\n", b"ok\n", b"no\n"

What = Literal["began", "done"]

_decode = json_decoder(tuple[Literal["began", "done", "orders"], str]).decode


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker said of a task: `number` is its place in the order of all, `at` in seconds since the sink began.

    `task` is the worker's word.
    """

    number: int
    what: What
    task: str
    worker: str
    at: float


class EffectSink(Resource):
    """Takes in what workers tell. Any thread may ask it, and is told by `GradingFailed` if it has failed: what it has
    not heard then is no worker's fault. While it runs, only its own thread, which waits on connections, closes them.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._folder = make_socket_folder()
        self._lock = threading.RLock()
        self._workers: dict[str, EffectTeller] = {}
        self._effects: list[Effect] = []
        self._marks: list[TimelineMark] = []
        self._holds: Callable[[Effect], bool] = _nothing
        self._held: list[tuple[Effect, EffectConnection]] = []
        self._refuses: Callable[[Effect], bool] = _nothing
        self._closed = False
        self._error: Exception | None = None
        self._has_room = True
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="labkit-effects", daemon=True)

    def start(self) -> EffectSink:
        """Begin to listen."""
        self._thread.start()
        return self

    def open(self, worker: str) -> Path:
        """A socket for what the worker of this name tells."""
        with self._lock:
            path = self._folder / str(len(self._workers))
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.setblocking(False)
                listener.bind(str(path))
                path.chmod(0o666)  # the student is another user where root runs the sandbox
                listener.listen(CONNECTIONS)
            except OSError:
                listener.close()
                raise
            self._workers[worker] = EffectTeller(worker, listener)
            self._look_up()
        return path

    def effects(self) -> list[Effect]:
        """All that was told so far, in the order in which it came."""
        with self._lock:
            self._must_hear()
            return self._effects[:]

    def now(self) -> float:
        """How many seconds it is since the sink began."""
        return self._clock() - self._began

    def mark(self, label: str) -> None:
        """Keep what the grader does now, beside what workers tell."""
        with self._lock:
            self._marks.append(TimelineMark(label, self.now()))

    def marks(self) -> list[TimelineMark]:
        """What was kept by `mark`."""
        with self._lock:
            return self._marks[:]

    def fault(self, worker: str) -> str | None:
        """Why nothing more is heard of the worker, in a sentence; nothing if it has said what it may."""
        with self._lock:
            self._must_hear()
            return self._workers[worker].fault

    def hold(self, which: Callable[[Effect], bool]) -> None:
        """From now on, workers wait when they have told of these, until `let_go`; asked once for each."""
        with self._lock:
            self._holds = which

    def refuse(self, which: Callable[[Effect], bool]) -> None:
        """From now on, these beginnings are none: the worker is told so, and they are no effects; asked each time."""
        with self._lock:
            self._refuses = which

    def held(self) -> list[Effect]:
        """What workers have told of that wait now."""
        with self._lock:
            self._must_hear()
            return [effect for effect, _ in self._held]

    def let_go(self, then: Callable[[Effect], bool] | None = None) -> None:
        """Let those go on that wait, and hold no more than `then` says."""
        with self._lock:
            self._holds = then or _nothing
            for effect, connection in self._held:
                self._answer(self._workers[effect.worker], connection, OK)
            self._held.clear()

    def ask_to_stop(self, worker: str) -> None:
        """Tell the worker to stop, now and whenever it asks for orders."""
        with self._lock:
            teller = self._workers[worker]
            teller.is_to_stop = True
            for connection in teller.connections[:]:
                if connection.takes_orders:
                    self._answer(teller, connection, STOP)

    def close(self) -> None:
        """Break all connections and remove the sockets. Closing twice is no error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._look_up()
        if self._thread.is_alive():
            self._thread.join()
        pipe = (partial(os.close, number) for number in (self._wake, self._waker))
        end_all(*(teller.close for teller in self._workers.values()), *pipe, partial(remove_folder, self._folder))

    def _look_up(self) -> None:
        """Let the thread see what has changed."""
        os.write(self._waker, b"!")

    def _must_hear(self) -> None:
        if self._error is not None:
            raise GradingFailed(
                f"The grader could not go on listening to the submission's workers: {self._error}. Grade it again."
            ) from self._error

    # --- on the thread

    def _serve(self) -> None:
        try:
            while not self._closed:
                self._turn()
        except Exception as error:  # noqa: BLE001 - raised where it is asked
            with self._lock:
                self._error = error
                for teller in self._workers.values():
                    teller.close()

    def _turn(self) -> None:
        with self._lock:
            tellers, poll = self._sources()
        ready = {number for number, _ in poll.poll(None if self._has_room else PAUSE_MS)}
        self._has_room = True
        if self._wake in ready:
            os.read(self._wake, 4096)
        with self._lock:
            for teller in tellers:
                for connection in teller.connections[:]:
                    if teller.fault is None and connection.socket.fileno() in ready:
                        self._hear(teller, connection)
                if teller.fault is None and teller.listener.fileno() in ready:
                    self._has_room &= teller.accept()
            self._held = [(effect, connection) for effect, connection in self._held if connection.socket.fileno() >= 0]

    def _sources(self) -> tuple[list[EffectTeller], select.poll]:
        """Who is heard from now on, and what to wait for; nobody else closes any of it meanwhile."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        tellers = []
        for teller in self._workers.values():
            if teller.fault is not None:
                teller.close()
                continue
            tellers.append(teller)
            for connection in teller.connections:
                poll.register(connection.socket, select.POLLIN)
            if self._has_room:  # else whoever waits there would be seen again and again
                poll.register(teller.listener, select.POLLIN)
        return tellers, poll

    def _hear(self, teller: EffectTeller, connection: EffectConnection) -> None:
        lines = connection.lines()
        teller.pieces += 1
        if teller.pieces > PIECES:
            teller.end(f"It told the grader what it told in more than {PIECES} pieces.")
        elif lines is None:
            teller.let_go(connection)
        elif len(connection.words) > LINE:
            teller.end(f"It told the grader a line of more than {LINE} bytes.")
        for line in lines or ():
            if teller.fault is None:
                self._take(teller, connection, line)

    def _take(self, teller: EffectTeller, connection: EffectConnection, line: bytes) -> None:
        try:
            if len(line) > LINE:
                raise ValueError
            what, task = _decode(line)
        except ValueError:  # no JSON, no UTF-8, or something else
            teller.end("It told the grader something that is neither the beginning nor the end of a task.")
            return
        at = self.now()
        if teller.is_flooding(at):
            teller.end(f"It told of more than {RATE} tasks a second, or of more than {MOST} altogether.")
            return
        if what == "orders":
            connection.takes_orders = True
            if teller.is_to_stop:
                self._answer(teller, connection, STOP)
            return
        effect = Effect(number=len(self._effects), what=what, task=task, worker=teller.name, at=at)
        if what == "began" and self._refuses(effect):
            self._answer(teller, connection, NO)
            return
        self._effects.append(effect)
        if self._holds(effect):
            self._held.append((effect, connection))
        else:
            self._answer(teller, connection, OK)

    def _answer(self, teller: EffectTeller, connection: EffectConnection, words: bytes) -> None:
        if teller.fault is None and not connection.answer(words):
            teller.end("It told of tasks, and did not take the grader's answers.")
            self._look_up()


def _nothing(_: Effect) -> bool:
    return False

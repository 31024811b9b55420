"""Brokers for submissions: each is started before it is needed, serves one submission, and is thrown away."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from labkit.errors import BrokerFailed, LabkitError
from labkit.lab import Lab
from labkit.lab.connection import Connection
from labkit.resource import Resource
from labkit.settings import Settings, load_settings

MIB = 1024 * 1024

#: What a broker takes of the memory, in bytes: Java's heap is limited to half of it.
MEMORY = 512 * MIB
#: How much a submission may store on its broker, in bytes, and in how many partitions.
STORED, PARTITIONS = 256 * MIB, 300
#: What a broker lets be done to it, in Kafka's words. It makes room for a request when it hears how large that will be,
#: so a few connections that promise 100 MB each, and send nothing, would end it; a client's batch is 1 MB at most, by
#: default. And whoever asks for a group is told all that its members have brought with them.
PROPERTIES = {"socket.request.max.bytes": "1200000", "group.max.size": "32", "group.consumer.max.size": "32"}
#: How often to look how much that is, and whether there is memory for a further broker, in seconds.
LOOK_INTERVAL = 0.25
#: How long to wait for a broker, in seconds, beyond what others may take to give theirs back.
TAKE_TIMEOUT = 600.0
#: Stands for the Redis that these labs do without.
_NO_REDIS = "unix:///nonexistent"

log = logging.getLogger("labkit.grading")


class SubmissionBroker(Resource):
    """A broker of one submission's own. `close` throws it away; it also ends with this process, however that ends."""

    def __init__(self, lab: Lab, pool: BrokerPool) -> None:
        self._lab = lab
        self._pool = pool
        self._used_up: str | None = None

    @property
    def connection(self) -> Connection:
        """How clients of the grader's reach it."""
        return self._lab.connection

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1, to which a relay leads."""
        return int(self._lab.bootstrap_servers.rpartition(":")[2])

    @property
    def pid(self) -> int | None:
        """Its process id; nothing when it has ended."""
        return self._lab.brokers.get(1)

    def used_up(self) -> str | None:
        """What the submission did for which the broker was ended, in a sentence; nothing if all is well.

        Raises `BrokerFailed` if it has ended for any other reason.
        """
        if self.pid is None and self._used_up is None:  # which is known before it is ended
            raise BrokerFailed("The broker of this submission has ended. Grade it again, it gets another one.")
        return self._used_up

    def clear(self, topic: str, group: str) -> None:
        """Nothing: all that it stores is thrown away with it."""

    def is_usable(self) -> bool:
        """Whether it runs and was not used up."""
        return self.pid is not None and self._used_up is None

    def close(self) -> None:
        """End it and delete all that it stores. Closing twice is no error."""
        self._pool._throw_away(self)

    def _look(self) -> None:
        """End it if the submission stores too much on it."""
        stored = partitions = 0
        for size, is_folder in _entries(self._lab.data_folder / "kafka"):
            stored, partitions = stored + size, partitions + is_folder
        if stored > STORED:
            self._used_up = f"It wrote more than {STORED // MIB} MiB to its broker, which was ended."
        elif partitions > PARTITIONS:
            self._used_up = f"It made more than {PARTITIONS} partitions on its broker, which was ended."
        if self._used_up is not None:
            self._lab.close()


class BrokerPool(Resource):
    """Up to `most` brokers at one time, of which up to `ahead` wait, ready, for the next submissions.

    A further one is started only if there is memory for it. None is given out twice.
    """

    def __init__(self, *, most: int = 2, ahead: int = 1, settings: Settings | None = None) -> None:
        own = {"bootstrap_servers": None, "redis_url": _NO_REDIS, "topic_prefix": ""}
        self._settings = (settings or load_settings()).model_copy(update=own)
        self._most, self._ahead = most, ahead
        self._changed = threading.Condition()
        self._ready: deque[Lab] = deque()
        self._given: set[SubmissionBroker] = set()
        self._waiting = 0
        self._failure: Exception | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=work, name=f"labkit-brokers-{name}", daemon=True)
            for name, work in (("start", self._keep_ready), ("watch", self._watch))
        ]

    def start(self) -> BrokerPool:
        """Begin to start brokers ahead of need."""
        for thread in self._threads:
            thread.start()
        return self

    def take(self, timeout: float = TAKE_TIMEOUT) -> SubmissionBroker:
        """A broker that nobody has used, as soon as there is one; close it when the submission is graded.

        Raises `BrokerFailed` if none can be started, or none comes within `timeout` seconds.
        """
        with self._changed:
            self._waiting += 1
            self._failure = None
            self._changed.notify_all()
            came = self._changed.wait_for(lambda: self._ready or self._failure or self._closed, timeout)
            self._waiting -= 1
            if self._closed:
                raise BrokerFailed("The brokers for submissions have been closed.")
            if self._ready:
                broker = SubmissionBroker(self._ready.popleft(), self)
                self._given.add(broker)
                self._changed.notify_all()
                return broker
            failure = self._failure
        if not came:
            raise BrokerFailed(f"No broker was free for the submission within {timeout:g} s.")
        raise BrokerFailed(f"No broker could be started for the submission: {failure}") from failure

    def close(self) -> None:
        """End all brokers, also those that are given out. Closing twice is no error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        with ExitStack() as ends:  # what fails keeps no other from being ended
            for one in (*self._given, *self._ready):
                ends.callback(one.close)
            self._ready.clear()

    def _throw_away(self, broker: SubmissionBroker) -> None:
        try:
            broker._lab.close()
        finally:
            with self._changed:
                self._given.discard(broker)
                self._changed.notify_all()

    # --- on the threads

    def _keep_ready(self) -> None:
        while self._wait_for_need():
            lab, failure = None, None
            try:
                lab = self._started()
            except Exception as error:  # whatever it is, who waits for the broker is told
                failure = error
                if not isinstance(error, LabkitError):
                    log.exception("a broker for submissions could not be started")
            with self._changed:
                self._failure = failure
                if lab is not None:
                    self._ready.append(lab)
                self._changed.notify_all()

    def _wait_for_need(self) -> bool:
        """Return when a further broker is wanted: False if none ever will be."""
        with self._changed:
            while not self._closed:
                there = len(self._ready) + len(self._given)
                wanted = len(self._ready) < max(self._ahead, self._waiting) and there < self._most
                if wanted and not self._failure and (there == 0 or _free_memory() >= MEMORY):
                    return True
                self._changed.wait(LOOK_INTERVAL if wanted and not self._failure else None)
            return False

    def _started(self) -> Lab:
        free = _free_memory()
        if free < MEMORY:
            raise BrokerFailed(
                f"The computer has {free // MIB} MiB of memory left, and a broker needs {MEMORY // MIB}."
            )
        return Lab(settings=self._settings, properties=PROPERTIES)

    def _watch(self) -> None:
        while not self._closed:
            for broker in [*self._given]:
                try:
                    broker._look()
                except Exception:
                    log.exception("a broker of a submission could not be looked at")
            with self._changed:
                if not self._changed.wait_for(lambda: self._closed, LOOK_INTERVAL if self._given else 0):
                    self._changed.wait_for(lambda: self._closed or self._given)


def _free_memory() -> int:
    return int(psutil.virtual_memory().available)


def _entries(folder: Path) -> Iterator[tuple[int, bool]]:
    """Of each thing there the size on the disk in bytes, and whether it is a folder; without what vanishes now."""
    for parent, folders, files in os.walk(folder):
        yield from ((0, True) for _ in folders)
        for file in files:
            try:
                yield os.stat(os.path.join(parent, file)).st_blocks * 512, False  # noqa: PTH116, PTH118
            except FileNotFoundError:
                continue

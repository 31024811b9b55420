"""A Redis of a test's own, which can be put into every state in which a Redis is of no use to anybody for a while."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from labkit.lab.redis_server import find_redis
from labkit.taskqueue.timeouts import wait_until

#: How long a command may take on a machine that is busy, in seconds.
TIMEOUT = 60.0

#: What makes Redis load for half a minute: after each of so many values, which are as large as what it loads before it
#: looks whether somebody asks, it waits for so many microseconds.
LOADED, LOADED_SIZE, LOAD_DELAY = 60, 2 * 1024**2, "500000"


class OwnRedis:
    """A Redis that a test can kill, freeze, fill; what it has acknowledged is there again after a start."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/redis.sock"
        self._folder = folder
        self._command = [str(find_redis().path), "--port", "0", "--unixsocket", f"{folder}/redis.sock"]
        self._command += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        self._command += ["--lua-time-limit", "20", "--rdbcompression", "no", "--auto-aof-rewrite-percentage", "0"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._launch()
        with self.client() as client:
            wait_until(lambda: self._answers(client), timeout=TIMEOUT, what="Redis was to start")

    def _launch(self, *more: str) -> None:
        self._process = subprocess.Popen([*self._command, *more], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client of the test's own."""
        return redis.Redis.from_url(self.url, socket_timeout=TIMEOUT)

    def _answers(self, client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:  # it loads, or does not run yet
            return False

    # --- the states, each for as long as the test is inside

    @contextmanager
    def killed(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """It is killed, and comes back without anything that it had."""
        with self.killed():
            for file in self._folder.glob("*.aof"):
                file.unlink()
            yield

    @contextmanager
    def loading(self) -> Iterator[None]:
        with self.client() as client:
            for number in range(LOADED):
                client.set(f"own-redis:{number}", "x" * LOADED_SIZE)
            client.bgrewriteaof()
            wait_until(
                lambda: not client.info("persistence")["aof_rewrite_in_progress"],
                timeout=TIMEOUT,
                what="all was to be written",
            )
            self.kill()
            self._launch("--key-load-delay", LOAD_DELAY)
            wait_until(lambda: self._is_loading(client), timeout=TIMEOUT, what="Redis was to load")
            try:
                yield
            finally:
                self.kill()  # while it loads it takes no word to hurry
                self.start()
                client.delete(*(f"own-redis:{number}" for number in range(LOADED)))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @contextmanager
    def full(self) -> Iterator[None]:
        with self._configured("maxmemory", "1", "0"):
            yield

    @contextmanager
    def read_only(self) -> Iterator[None]:
        with self.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            try:
                yield
            finally:
                client.execute_command("REPLICAOF", "NO", "ONE")

    @contextmanager
    def unable_to_save(self) -> Iterator[None]:
        (self._folder / "no.rdb").mkdir(exist_ok=True)  # no file can take its place
        with self.client() as client, self._configured("dbfilename", "no.rdb", "dump.rdb"):
            client.config_set("save", "3600 1")
            client.bgsave()
            wait_until(lambda: _persistence(client) == "err", timeout=TIMEOUT, what="saving was to fail")
            try:
                yield
            finally:
                client.config_set("save", "")

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.client() as client:
            client.config_set("requirepass", "secret")
            client.client_kill_filter(_type="normal", skipme=True)
            try:
                yield
            finally:
                client.config_set("requirepass", "")

    @contextmanager
    def busy(self) -> Iterator[None]:
        def loop() -> None:
            with self.client() as client, pytest.raises(redis.ResponseError, match=r"(?i)killed"):
                client.eval("while true do end", 0)

        thread = threading.Thread(target=loop)
        with self.client() as client:
            client.ping()
            thread.start()
            wait_until(lambda: self._is_busy(client), timeout=TIMEOUT, what="the script was to run")
            try:
                yield
            finally:
                client.script_kill()
                thread.join(TIMEOUT)

    @staticmethod
    def _is_loading(client: redis.Redis) -> bool:
        try:
            client.ping()
        except redis.ConnectionError as error:
            return isinstance(error, redis.BusyLoadingError)
        return False

    @staticmethod
    def _is_busy(client: redis.Redis) -> bool:
        try:
            client.ping()
        except redis.ResponseError as error:
            return "BUSY" in str(error)
        return False

    @contextmanager
    def _configured(self, name: str, value: str, usual: str) -> Iterator[None]:
        with self.client() as client:
            client.config_set(name, value)
            try:
                yield
            finally:
                client.config_set(name, usual)


def _persistence(client: redis.Redis) -> str:
    found = client.info("persistence")
    return "" if found["rdb_bgsave_in_progress"] else str(found["rdb_last_bgsave_status"])


#: All that a Redis can be instead of at work.
STATES: dict[str, Callable[[OwnRedis], object]] = {
    name: getattr(OwnRedis, name)
    for name in ("killed", "loading", "frozen", "full", "read_only", "unable_to_save", "locked", "busy")
}
#: Their names: in every run one that does not answer, one that is not ready and one that refuses; all in long ones.
EACH_STATE = [
    pytest.param(name, marks=() if name in ("killed", "loading", "read_only") else pytest.mark.long) for name in STATES
]

"""Celery and Dramatiq, each with one worker process on the lab's Redis: how many empty tasks they do per second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from benchmarks.figure import Settings
from benchmarks.rival_redis import MOMENTS, PREFIX, REDIS_URL, TASKS
from benchmarks.rivals import LONGEST
from benchmarks.shell import ROOT

#: What Celery is told on the command line, all of it to be faster.
CELERY_OPTIONS = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR")
#: How many messages a Dramatiq worker fetches ahead.
DRAMATIQ_PREFETCH = 1000
#: How long a worker may take to stop before it is killed, in seconds.
STOP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rival:
    """A task queue on Redis. `command` starts its worker, with the number of threads at the end."""

    name: str
    module: str
    command: tuple[str, ...]
    environment: dict[str, str]
    threads: tuple[int, ...]
    settings: Settings


CELERY = Rival(
    name="Celery",
    module="benchmarks.rival_celery",
    command=("celery", "-A", "benchmarks.rival_celery", "worker", *CELERY_OPTIONS, "--pool=threads", "--concurrency"),
    environment={},
    threads=(1, 2, 4, 16),
    settings={
        "pool": "threads",
        "results": "off",
        "acks": "early",
        "prefetch multiplier": "0 (no limit)",
        "events, gossip, mingle, heartbeat, remote control, rate limits": "off",
        "log": "errors",
    },
)
DRAMATIQ = Rival(
    name="Dramatiq",
    module="benchmarks.rival_dramatiq",
    command=("dramatiq", "benchmarks.rival_dramatiq", "--processes", "1", "--skip-logging", "--threads"),
    environment={"dramatiq_queue_prefetch": str(DRAMATIQ_PREFETCH)},
    threads=(1, 2, 4, 8),
    settings={"processes": 1, "results": "off", "middleware": "none", "queue prefetch": DRAMATIQ_PREFETCH},
)


def fastest_threads(rival: Rival, url: str, tasks: int) -> int:
    """The number of threads, of those it is to be tried with, with which it does these tasks the fastest."""
    return max(rival.threads, key=lambda threads: rate(rival, url, tasks, threads))


def rate(rival: Rival, url: str, tasks: int, threads: int) -> float:
    """Tasks per second: `tasks` are queued, then a worker is started; from its first task to its last.

    Raises RuntimeError if it takes too long.
    """
    environment = {**os.environ, **rival.environment, REDIS_URL: url, TASKS: str(tasks)}
    with redis.Redis.from_url(url, socket_timeout=None) as client:
        _tidy(client)
        subprocess.run([sys.executable, "-m", rival.module, str(tasks)], cwd=ROOT, env=environment, check=True)
        with _worker([sys.executable, "-m", *rival.command, str(threads)], environment) as complaints:
            moments = [client.blpop([MOMENTS], timeout=LONGEST) for _ in range(2)]
            if None in moments:
                raise RuntimeError(f"{rival.name} did not do {tasks} tasks within {LONGEST:g} s: {complaints()}")
        _tidy(client)
    began, ended = (float(moment[1]) for moment in moments)
    return tasks / (ended - began)


def _tidy(client: redis.Redis) -> None:
    """Delete what the rivals left; kombu has keys of its own per queue."""
    for pattern in (f"{PREFIX}*", f"_kombu.*.{PREFIX}*"):
        for key in client.scan_iter(pattern):
            client.delete(key)


@contextmanager
def _worker(command: list[str], environment: dict[str, str]) -> Iterator[Callable[[], str]]:
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )

        def complaints() -> str:
            words.seek(0)
            return words.read()[-2000:]

        try:
            yield complaints
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the worker and its children to stop; then make them."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

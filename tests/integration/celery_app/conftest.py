"""A Celery of its own for each test, in the Redis of the lab: its keys have a prefix that no other test uses."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from labkit.celery_app.application import make_app
from labkit.celery_app.capacity import connect
from labkit.celery_app.envelope import Envelope
from labkit.celery_app.kinds import import_handlers
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.lab import Lab
from labkit.lab.redis_server import find_redis
from labkit.settings import Settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.task import Task, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics
from tests.integration.celery_app.handlers import MODULE


def new_settings(**more: object) -> Settings:
    values = {"topic_prefix": f"{uuid4().hex[:8]}.", "celery_imports": MODULE} | more
    return Settings(_env_file=None, **values)  # type: ignore[arg-type, call-arg]


def envelope(task: Task | None = None, *, rank: int = 0, topic: str = "t", offset: int = 0) -> Envelope:
    task = task or new_task("sleep", 0)
    return Envelope(task=task, topic=topic, partition=0, offset=offset, rank=rank, produced_at=1.0, sent_at=2.0)


@pytest.fixture
def settings() -> Settings:
    made = new_settings()
    import_handlers(made)
    return made


@pytest.fixture
def client(lab: Lab) -> Iterator[redis.Redis]:
    with connect(lab.redis_url) as client:
        yield client


@pytest.fixture
def app(lab: Lab, settings: Settings):
    return make_app(lab.redis_url, settings)


@pytest.fixture(scope="session")
def topics(lab: Lab) -> Iterator[Topics]:
    with connect_kafka(lab) as topics:
        yield topics


@pytest.fixture(scope="session")
def at_work(lab: Lab) -> Iterator[Settings]:
    """The settings of a Celery with one worker of two threads."""
    made = new_settings()
    import_handlers(made)
    with CeleryWorker(lab, pool="threads", concurrency=2, settings=made):
        yield made


class OwnRedis:
    """A Redis that a test can kill and freeze; what it has acknowledged is there again after a start."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/redis.sock"
        self._command = [str(find_redis().path), "--port", "0", "--unixsocket", f"{folder}/redis.sock"]
        self._command += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: self._answers(client), timeout=10, what="Redis was to start")

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

    @staticmethod
    def _answers(client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def own_redis(tmp_path_factory) -> Iterator[OwnRedis]:
    made = OwnRedis(tmp_path_factory.mktemp("r"))
    made.start()
    yield made
    made.kill()

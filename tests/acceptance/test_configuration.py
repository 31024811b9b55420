"""`.env` and one `logging_config.json` per component are in force: for the producer, the worker, the dispatcher (here a
bridge), Celery's worker and Beat."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.celery_app.periodic_tasks import HEARTBEAT_TOPIC
from labkit.taskqueue import Topics
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport

COMPONENTS = ("producer", "worker", "dispatcher", "celery", "beat")


@pytest.fixture
def type_in(tmp_path):
    """Start a command of labkit in this test's folder, where `.env` is, and with no setting in the environment."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
        process = subprocess.Popen([sys.executable, "-m", "labkit", *words], cwd=tmp_path, env=bare, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def write_configurations(folder: Path) -> None:
    """Each component's own, which writes everything to a file of its own name with its own words."""
    for component in COMPONENTS:
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"mine": {"format": f"MY {component.upper()} %(name)s %(message)s"}},
            "handlers": {
                "file": {"class": "logging.FileHandler", "formatter": "mine", "filename": f"my-{component}.txt"}
            },
            "loggers": {"labkit": {"level": "INFO", "handlers": ["file"], "propagate": False}},
        }
        (folder / component).mkdir(parents=True)
        (folder / component / "logging_config.json").write_text(json.dumps(config))


def test_env_file_and_logging_configurations_are_in_force(type_in, lab, tmp_path, unique_name):
    prefix = f"{unique_name}."
    (tmp_path / ".env").write_text(
        f"LABKIT_BOOTSTRAP_SERVERS={lab.bootstrap_servers}\n"
        f"LABKIT_REDIS_URL={lab.redis_url}\n"
        f"LABKIT_TOPIC_PREFIX={prefix}\n"
        "LABKIT_TRANSPORT=confluent-kafka\n"
        "LABKIT_LOGGING_DIR=mine\n"
        "LABKIT_RESULTS_DIR=found\n"
        "LABKIT_BEAT_HEARTBEAT=1\n"
        "LABKIT_BEAT_LAG=off\n"
    )
    write_configurations(tmp_path / "mine")
    assert type_in("produce", "hello").wait(180) == 0
    assert type_in("work", "--until-empty").wait(180) == 0
    bridge, worker, beat = type_in("bridge"), type_in("celery", "worker", "--pool", "solo"), type_in("celery", "beat")

    celery_log = tmp_path / "found" / "logs" / "my-celery.txt"
    with Topics(connect_transport(lab.connection, "kafka-python"), prefix=prefix) as topics:

        def all_is_through() -> bool:
            assert [process.poll() for process in (bridge, worker, beat)] == [None] * 3
            groups = topics.groups()
            return (
                groups.keys() >= {"worker_group", "celery_bridge.bridge"}
                and not any(
                    place.lag
                    for group in ("worker_group", "celery_bridge.bridge")
                    for place in topics.lag("task_queue", group=group)
                )
                and HEARTBEAT_TOPIC in topics.names()
                and sum(topics.end_offsets(HEARTBEAT_TOPIC).values()) > 0
                and celery_log.exists()
                and "prints its message" in celery_log.read_text()
            )

        wait_until(all_is_through, timeout=120, what="the message and a heartbeat were to come through", interval=0.1)
        # the prefix of .env stands before every name on the broker
        everything = Topics(connect_transport(lab.connection, "kafka-python"))
        assert {f"{prefix}task_queue", f"{prefix}{HEARTBEAT_TOPIC}"} <= set(everything.names())
        everything.close()
    for process in (beat, bridge, worker):
        process.send_signal(signal.SIGINT)
    assert [process.wait(180) for process in (beat, bridge, worker)] == [0, 0, 0]

    logs = tmp_path / "found" / "logs"
    said = {component: (logs / f"my-{component}.txt").read_text() for component in COMPONENTS}
    for component, lines in said.items():
        # a client library's lines come by way of labkit's transport, under its own name: of a slow step, say
        ours = tuple(f"MY {component.upper()} {logger}." for logger in ("labkit", "kafka"))
        assert [line for line in lines.splitlines() if not line.startswith(ours)] == []
    assert "the producer to task_queue closes" in said["producer"]
    assert "joins worker_group" in said["worker"]
    # and no component writes where another one's configuration, or the one in the package, says
    assert {path.name for path in logs.iterdir()} == {f"my-{component}.txt" for component in COMPONENTS}

"""The programs of docs/programs.md that need services beside them, which are started by the page's own lines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.taskqueue.timeouts import wait_until
from tests.page_blocks import BLOCKS, write_files
from tests.ports import own_ports

PAGE = "docs/programs.md"
START_TIMEOUT = 180.0
OWN = [block for block in BLOCKS if block.page == PAGE]
PRINTED = {block.file: block.printed for block in OWN}
IMPORTS, WORKER, DISPATCH = next(block.code for block in OWN if "labkit dispatch" in block.code).splitlines()
(SERVER,) = next(block.code for block in OWN if "labkit api" in block.code).splitlines()


@pytest.fixture
def environment(environment) -> dict[str, str]:
    """Topics, and a Celery, that no other test has; `labkit` is that of this Python."""
    alone = uuid4().hex[:12]
    return environment | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LABKIT_TOPIC_PREFIX": f"{alone}.",
        "LABKIT_CELERY_NAMESPACE": alone,
        "LABKIT_JOBS_URL": f"sqlite:///{environment['LABKIT_DATA_DIR']}/jobs.sqlite",
    }


@pytest.fixture
def type_line(tmp_path, environment):
    """Type a line of the page that serves until it is ended; returns the file of what it says."""
    write_files(PAGE, tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def start(line: str) -> Path:
        said = tmp_path / f"{len(started)}.out"
        with said.open("wb") as out:
            words = ["bash", "-c", re.sub(r"(?=\blabkit )", "exec ", line, count=1)]
            started.append(subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=out, stderr=out))
        return said

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        assert process.wait(START_TIMEOUT) == 0


def printed_by(program: Path, environment: dict[str, str]) -> str:
    words = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", program.name]
    return subprocess.run(
        words, cwd=program.parent, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=180
    ).stdout


@pytest.mark.long
def test_the_dispatcher_as_services_performs_all_that_the_page_sends(tmp_path, type_line, environment):
    said = type_line(f"{IMPORTS}; {WORKER}")
    wait_until(lambda: "is ready" in said.read_text(), timeout=START_TIMEOUT, what="the worker was to start")
    assert printed_by(tmp_path / "feed.py", environment) == PRINTED["feed.py"]
    said = type_line(f"{IMPORTS}; {DISPATCH}")
    both = ("high lag 0, 0 waiting, 40 sent, 0 shed, 0 dead", "low lag 0, 0 waiting, 20 sent, 0 shed, 0 dead")
    wait_until(
        lambda: all(one in said.read_text() for one in both),
        timeout=START_TIMEOUT,
        what="all was to be dispatched",
        told=said.read_text,
    )


def test_a_message_in_the_hands_of_a_killed_poller_is_acknowledged_once(tmp_path, type_line, environment):
    (port,) = own_ports(1)
    said = type_line(SERVER.replace("8000", str(port)))
    wait_until(lambda: "Ctrl-C stops it." in said.read_text(), timeout=START_TIMEOUT, what="the API was to start")
    program = tmp_path / "kitchen.py"
    program.write_text(program.read_text().replace("8000", str(port)))
    assert printed_by(program, environment) == PRINTED["kitchen.py"]

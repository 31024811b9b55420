"""Commands of labkit as a user types them: in an empty folder, attached to the session's servers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture
def environment(lab) -> dict[str, str]:
    """The environment of commands; a file of tests may add to it."""
    return {**os.environ, "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url}


@pytest.fixture
def type_in(tmp_path, environment):
    """Start a command of labkit."""
    started = []

    def start(*words: str, stdout: int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit", *words],
            cwd=tmp_path,
            env=environment | more,
            stdout=stdout,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

"""Commands of labkit as a user types them: in an empty folder, attached to the session's servers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture
def surroundings() -> dict[str, str]:
    """What the tests of a file add to the environment of their commands."""
    return {}


@pytest.fixture
def type_in(lab, tmp_path, surroundings):
    """Start a command of labkit."""
    started = []

    def start(*words: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit", *words],
            cwd=tmp_path,
            env={
                **os.environ,
                "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers,
                "LABKIT_REDIS_URL": lab.redis_url,
                **surroundings,
                **environment,
            },
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

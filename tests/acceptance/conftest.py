"""Commands of labkit as a user types them, in an empty folder, attached to the session's servers; and a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import ABSENT, find_browser
from tests.conditions import PATIENCE

#: How long a command that is ended may take to say where it was, in seconds.
SAYING_TIMEOUT = 30

BROWSER_OPTIONS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def environment(lab, tmp_path_factory) -> dict[str, str]:
    """The environment of commands; a file of tests may add to it. Nothing is kept in the user's own folder, and Python
    says where it was when it is aborted.
    """
    servers = {"LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url}
    data = str(tmp_path_factory.mktemp("data"))
    return {**os.environ, **servers, "LABKIT_DATA_DIR": data, "PYTHONFAULTHANDLER": "1"}


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
        _end(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                print(f"{process.args[2:]} had more to say: {_left(stream)}")  # shown where the test has failed
                stream.close()


def _end(process: subprocess.Popen[str]) -> None:
    """End one that runs on. What each of its threads was at is what it has to say."""
    if process.poll() is None:
        process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SAYING_TIMEOUT)
    process.kill()
    process.wait()


def _left(stream: IO[str]) -> str:
    """What nobody has read; what a process has left behind may hold the other end."""
    os.set_blocking(stream.fileno(), False)
    try:
        return os.read(stream.fileno(), 65536).decode(errors="replace")
    except BlockingIOError:
        return ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """This machine's Chromium, headless."""
    path = find_browser()
    if path is None:
        pytest.skip(ABSENT)
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        # a user that is root has no sandbox
        launched = playwright.chromium.launch(
            executable_path=path, chromium_sandbox=os.geteuid() != 0, args=BROWSER_OPTIONS
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, with what its scripts complained of."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    opened.complaints = complaints
    yield opened
    context.close()

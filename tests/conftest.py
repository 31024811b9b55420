"""What all tests share; `session_lab.py` has the lab."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from uuid import uuid4

import pytest
from hypothesis import settings

pytest_plugins = ["tests.library_turn", "tests.scheduler", "tests.session_lab", "tests.watchdog"]

# what the tests of a process are made of lives until its end: the collector need not look for garbage among it
gc.disable()

# contract tests are imported by those that run them on one transport or another
pytest.register_assert_rewrite("tests.contract")

# the first example may import a library that takes seconds
settings.register_profile("labkit", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("labkit")

# a shell that starts pytest in the background makes it ignore Ctrl-C, and with it every command under test
signal.signal(signal.SIGINT, signal.default_int_handler)

# make hands on what its own user named, also to a make or an install script under test, whose user named nothing
FROM_MAKE = ("VENV", "PYTHON", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
for name in FROM_MAKE:
    os.environ.pop(name, None)

# a member that a busy computer holds up for some seconds is to stay in its group, and a start may take its time
os.environ |= {"LABKIT_SESSION_TIMEOUT": "15", "LABKIT_START_TIMEOUT": "300"}


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> str:
    """A name for a topic or a group that no other test uses."""
    return f"{request.node.originalname}-{uuid4().hex[:8]}".replace("_", "-")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where `LABKIT_TEST_FORBID_SKIPS` is set, as in CI, a test that would be skipped fails unless it is optional."""
    report = yield
    is_forbidden = os.environ.get("LABKIT_TEST_FORBID_SKIPS") and item.get_closest_marker("optional") is None
    if report.skipped and not hasattr(report, "wasxfail") and is_forbidden:
        report.outcome = "failed"
        report.longrepr = f"skips are forbidden here: {report.longrepr}"
    return report

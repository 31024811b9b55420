"""A plugin beside nbval: what a cell wrote to stderr stands in the report if it fails, where nbval only says that."""

from __future__ import annotations

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add it to the report."""
    report = yield
    if report.failed:
        for output in getattr(item, "test_outputs", None) or ():
            if output.get("name") == "stderr":
                report.sections.append(("stderr of the cell", output["text"]))
    return report

"""A plugin beside nbval.

Kernels listen in a folder, since a free port that Jupyter chooses for one may be another program's when it starts; and
what a cell, or a kernel, wrote to stderr stands in the report if it fails, where nbval only says that it did.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager

from labkit.process.socket_folder import make_socket_folder
from labkit.temporary_folder import remove_folder


class HeardKernelManager(KernelManager):
    """Its kernel writes to this process' stderr, where nbval throws away what it says."""

    def start_kernel(self, **options: Any) -> None:
        super().start_kernel(**options | {"stderr": None})


def pytest_configure(config: pytest.Config) -> None:
    """Have all kernels of nbval made so."""
    sockets = make_socket_folder()
    config.add_cleanup(partial(remove_folder, sockets))
    nbval.kernel.KernelManager = partial(HeardKernelManager, transport="ipc", ip=str(sockets / "k"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add it to the report."""
    report = yield
    if report.failed:
        for output in getattr(item, "test_outputs", None) or ():
            if output.get("name") == "stderr":
                report.sections.append(("stderr of the cell", output["text"]))
    return report

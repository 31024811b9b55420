"""What unit tests share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit import plugin
from tests.unit.logger_state import loggers_put_back


@pytest.fixture(autouse=True)
def labkits_logger() -> Iterator[logging.Logger]:
    """What a test, or a command in it, has the loggers write, and where to, ends with the test."""
    with loggers_put_back():
        yield logging.getLogger("labkit")


@pytest.fixture
def own_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make a distribution of somebody else's: a module of this name and text, and entry points of a group."""
    names = []

    def make(name: str, text: str, group: str, *entries: str) -> None:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join((f"[{group}]", *entries)))
        plugin.plugins.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    plugin.plugins.cache_clear()
    for name in names:
        sys.modules.pop(name, None)

"""Commands in the test's own process."""

from __future__ import annotations

import sys

import pytest

from labkit.cli import main


@pytest.fixture
def labkit(monkeypatch, capsys, tmp_path):
    """Type a command in, in a folder of its own; returns its status, and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_DATA_DIR", str(tmp_path / "data"))

    def type_in(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["labkit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return type_in

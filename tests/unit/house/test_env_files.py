"""A `.env` in the project's folder counts in the notebooks too, which run in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.settings import load_settings


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a notebook runs in, below the project's folder."""
    for name in ("LABKIT_PORT", "LABKIT_LINGER_MS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_project_s_file_is_read(notebooks: Path) -> None:
    (notebooks.parent / ".env").write_text("LABKIT_PORT=9393\n")
    assert load_settings().port == 9393


def test_the_nearer_file_goes_first_and_the_environment_before_both(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notebooks.parent / ".env").write_text("LABKIT_PORT=9393\nLABKIT_LINGER_MS=1\nLABKIT_RETRIES=2\n")
    (notebooks / ".env").write_text("LABKIT_PORT=9494\nLABKIT_LINGER_MS=3\n")
    monkeypatch.setenv("LABKIT_LINGER_MS", "7")
    settings = load_settings()
    assert (settings.port, settings.linger_ms, settings.retries) == (9494, 7, 2)

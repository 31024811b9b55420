"""What is made once per user: that Kafka could not format its storage is noticed by what is not there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from labkit.errors import ServerFailed
from labkit.lab import aot_cache


def test_storage_that_was_not_formatted_is_noticed_also_where_no_status_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aot_cache, "format_command", lambda *_, **__: ["/bin/sh", "-c", "echo no room >&2; exit 1"])
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(ServerFailed, match="could not format its storage: no room"):
            aot_cache._format(None, [], tmp_path / "template")  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGCHLD, before)

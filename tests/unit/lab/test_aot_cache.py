"""What is made once per user: that Kafka could not format its storage is noticed by what is not there."""

from __future__ import annotations

import signal
import socket
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


def test_a_kafka_that_is_silent_while_it_is_trained_is_a_failed_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aot_cache, "DEADLINE", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ServerFailed, match=r"^Kafka did not do the work of the training run: TimeoutError"):
            aot_cache._train(mute.getsockname()[1])

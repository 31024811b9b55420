"""A client of a share group that does not come back from leaving it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from labkit.taskqueue.transport.confluent import share_groups
from labkit.taskqueue.transport.confluent.share_groups import ConfluentShareConsumer


def test_it_is_left_behind_and_that_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(share_groups, "CLOSE_TIMEOUT", 0.05)
    may_leave, left = threading.Event(), threading.Event()

    def leave() -> None:
        may_leave.wait()
        left.set()

    client = ConfluentShareConsumer.__new__(ConfluentShareConsumer)
    client._group, client._closed, client._client = "workers", False, SimpleNamespace(close=leave)
    client.close()
    client.close()
    assert caplog.text.count("'workers' did not leave it within 0.05 s, and is left behind") == 1
    may_leave.set()
    assert left.wait(60)


def test_it_leaves_also_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(share_groups, "on_a_thread", fail)
    left = threading.Event()
    client = ConfluentShareConsumer.__new__(ConfluentShareConsumer)
    client._group, client._closed, client._client = "workers", False, SimpleNamespace(close=left.set)
    client.close()
    assert left.is_set()

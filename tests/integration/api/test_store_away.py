"""The store of the jobs is away while streams are open: they stay open, all else works, and the log keeps its calm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from labkit.api.security import Access
from labkit.api.server import ApiServer
from labkit.lab import Lab
from labkit.settings import load_settings
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE

STREAMS = ("/jobs/stream?since=0", "/jobs/stream", "/overview/stream")


@contextmanager
def moved_away(store: Path) -> Iterator[None]:
    """A file is in the place of its folder."""
    store.parent.rename(store.parent.with_name("aside"))
    store.parent.touch()
    try:
        yield
    finally:
        store.parent.unlink()
        store.parent.with_name("aside").rename(store.parent)


class Stream:
    """One that is read on a thread."""

    def __init__(self, url: str) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._url = url
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with httpx.stream("GET", self._url, timeout=PATIENCE) as answer:
            for line in answer.iter_lines():
                self.lines.append(line)
        self.ended = True

    def says(self, what: str) -> bool:
        return any(what in line for line in self.lines)


def test_streams_wait_for_it(lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store = tmp_path / "store" / "jobs.sqlite"
    settings = load_settings(topic_prefix=f"{uuid4().hex[:12]}.", jobs_url=f"sqlite:///{store}")
    with ApiServer(lab, port=0, access=Access(token=None), settings=settings) as api:
        assert httpx.post(f"{api.url}/jobs", json={"job_id": 1}, timeout=PATIENCE).status_code == 201
        streams = [Stream(api.url + path) for path in STREAMS for _ in range(5)]
        wait_until(lambda: all(one.lines for one in streams), timeout=PATIENCE, what="all were to be connected")
        wait_until(lambda: streams[0].says('"job_id":1'), timeout=PATIENCE, what="the first was to hear of the job")
        with moved_away(store):
            wait_until(lambda: "The live view waits for" in caplog.text, timeout=PATIENCE, what="it was to be said")
            late = [Stream(api.url + path) for path in STREAMS if path != "/jobs/stream"]  # that asks for later ones
            wait_until(lambda: all(one.lines for one in late), timeout=PATIENCE, what="late ones were to be let in")
            refused = httpx.get(f"{api.url}/jobs", timeout=PATIENCE)
            assert refused.status_code == 503
            assert "store of the jobs" in refused.json()["detail"]
            assert httpx.get(f"{api.url}/health/live", timeout=PATIENCE).status_code == 200
            assert httpx.get(f"{api.url}/overview", timeout=PATIENCE).status_code == 503
            asked = {"topic": settings.api_topics.split(",")[0], "group": "g", "wait": 0}
            assert httpx.get(f"{api.url}/message/poll", params=asked, timeout=PATIENCE).status_code == 204
        assert httpx.post(f"{api.url}/jobs", json={"job_id": 2}, timeout=PATIENCE).status_code == 201
        for one in (*streams, *late):
            there = '"job_id":2' if "/jobs/" in one._url else '"NEW":2'
            wait_until(partial(one.says, there), timeout=PATIENCE, what=f"{one._url} was to go on")
            assert not one.ended
    assert "Traceback" not in caplog.text
    assert [record.levelname for record in caplog.records if record.exc_info] == []
    assert caplog.text.count("The live view waits for") == 1
    assert caplog.text.count("The live view goes on") == 1

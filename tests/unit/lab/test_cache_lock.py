"""The locks of the cache: what one process does is waited for, and said when it takes long."""

from __future__ import annotations

import logging

from filelock import FileLock

from labkit.lab import cache_lock as module
from labkit.lab.cache_lock import cache_lock
from labkit.taskqueue.timeouts import on_a_thread, wait_until

#: Seconds; the computer may be busy.
LONG = 60


def test_who_waits_for_another_process_says_so_once_and_goes_on_when_it_is_through(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "SILENCE", 0.1)
    path = tmp_path / "fetching.lock"

    def work():
        with cache_lock(path, "fetching Kafka"):
            return "alone"

    with caplog.at_level(logging.WARNING), FileLock(path):
        working = on_a_thread(work)
        wait_until(lambda: bool(caplog.records), timeout=LONG, what="it was to be said")
        assert not working.done()
    assert working.result(LONG) == "alone"
    [said] = [record.message for record in caplog.records if record.module == "cache_lock"]
    assert said.startswith("Another process has been fetching Kafka for 0.1 s")
    assert f"fuser {path}" in said


def test_who_does_not_wait_says_nothing_and_lets_go_of_it(tmp_path, caplog):
    for _ in range(2):
        with cache_lock(tmp_path / "made.lock", "preparing Kafka"):
            pass
    assert not caplog.records

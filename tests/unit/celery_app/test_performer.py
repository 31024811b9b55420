"""A process that is to end begins with no handler."""

from __future__ import annotations

import pytest
from celery.exceptions import WorkerTerminate

from labkit.celery_app import performer
from labkit.celery_app.kinds import Handling
from labkit.outage import Outage
from labkit.taskqueue.task import Task, new_task


def test_no_handler_is_begun_where_what_was_to_end_the_process_did_not_come_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Task] = []
    call = performer._HandlerCall(Handling(called.append, once=False), "redis://nobody", Outage(performer.log, "", ""))
    task = new_task("wait")
    assert call(task) == (True, None)
    monkeypatch.setattr(performer, "is_terminated", lambda: True)
    with pytest.raises(WorkerTerminate):
        call(task)
    assert called == [task]

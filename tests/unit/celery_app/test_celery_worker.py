"""What one process sets, those that were forked from it see, and the other way round."""

from __future__ import annotations

from multiprocessing import get_context

from labkit.celery_app.celery_worker import SharedFlag


def test_a_forked_process_sets_it_for_all() -> None:
    flag = SharedFlag()
    child = get_context("fork").Process(target=flag.set)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert flag.is_set()
    flag.clear()
    assert not flag.is_set()

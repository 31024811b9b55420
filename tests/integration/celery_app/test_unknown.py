"""A Celery worker that does not know a task makes a dead letter of it; Celery itself would throw it away."""

from labkit.celery_app.application import make_app
from labkit.celery_app.kinds import HANDLERS, handles
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.celery_sender import CelerySender
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue import DeadLetters, Topics
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.integration.celery_app.conftest import envelope


def test_a_task_that_the_worker_does_not_know_is_a_dead_letter(lab, client, at_work, unique_name):
    handles("only here")(_only_here)
    task = new_task("only here", "x")
    records = RecordStream(client, at_work)
    records.skip()
    with connect_kafka(lab) as plain, Topics(plain.transport, prefix=at_work.topic_prefix) as topics:
        topics.create(unique_name, partitions=1)
        sender = CelerySender(make_app(lab.redis_url, at_work))
        sender.send([envelope(task, topic=unique_name)])
        sender.close()
        letters = DeadLetters(topics, unique_name)
        wait_until(lambda: bool(letters.list()), timeout=120, what="the task was to become a dead letter")
        (letter,) = letters.list()
    del HANDLERS["only here"]
    found: list[TaskRecord] = []  # the record comes after the letter
    wait_until(lambda: bool(found.extend(records.read()) or found), timeout=120, what="its record was to come")
    assert letter.task().payload == "x"
    assert "LABKIT_CELERY_IMPORTS" in letter.error
    assert [(r.task_id, r.outcome) for r in found] == [(task.id, "dead")]


def _only_here(task):
    raise AssertionError("no worker imports this module")

"""The stream of records in a real Redis."""

from __future__ import annotations

import pytest

from labkit.celery_app import record_stream
from labkit.celery_app.capacity import connect
from labkit.celery_app.record_stream import RecordStream
from labkit.errors import RedisUnreachable
from labkit.taskqueue.task import new_task
from tests.integration.celery_app.conftest import envelope


def record(number: int):
    made = envelope(new_task("sleep", 0, key=None), offset=number)
    return made.record("done", worker="w", attempt=1, started_at=3.0, finished_at=4.0 + number, error=None)


def test_what_is_appended_is_read_once_by_each_reader(client, settings):
    written = [record(number) for number in range(5)]
    stream, other = RecordStream(client, settings), RecordStream(client, settings)
    assert stream.read() == []
    for one in written[:3]:
        stream.append(one)
    assert stream.read() == written[:3]
    assert stream.read() == []
    for one in written[3:]:
        other.append(one)
    assert stream.read() == written[3:]
    assert other.read() == written


def test_what_was_added_twice_since_its_answer_was_lost_is_one_record(client, settings, monkeypatch):
    monkeypatch.setattr(record_stream, "MOST_DOUBTFUL", 3)
    stream, written = RecordStream(client, settings), [record(number) for number in range(5)]
    for number in (0, 0, 1, 0, 2):
        stream.append(written[number])
    assert stream.read() == written[:3]
    for number in (2, 3, 4):
        stream.append(written[number])
    assert stream.read() == written[3:]
    assert len(stream._recent) == 3


@pytest.mark.parametrize("before", [0, 3])
def test_skip_begins_with_what_comes_from_now_on(client, settings, before):
    stream = RecordStream(client, settings)
    for number in range(before):
        stream.append(record(number))
    reader = RecordStream(client, settings)
    reader.skip()
    assert reader.read() == []
    stream.append(late := record(9))
    assert reader.read() == [late]


def test_the_frame_has_a_row_per_record(client, settings):
    stream = RecordStream(client, settings)
    for number in (1, 0):
        stream.append(record(number))
    assert list(stream.frame()["offset"]) == [0, 1]
    assert stream.frame().empty


def test_without_redis_every_call_says_so(own_redis, settings):
    with connect(own_redis.url) as client:
        stream = RecordStream(client, settings)
        stream.append(record(0))
        own_redis.kill()
        for call in (stream.read, stream.skip, lambda: stream.append(record(1))):
            with pytest.raises(RedisUnreachable):
                call()
        own_redis.start()
        assert [one.offset for one in stream.read()] == [0]

"""The stream of records in a real Redis."""

from __future__ import annotations

import pytest

from labkit.celery_app import record_stream
from labkit.celery_app.application import key_prefix, level_key
from labkit.celery_app.capacity import connect
from labkit.celery_app.periodic_tasks import Lag, LagSample, LagStream
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.account import ids_in_celery
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


ODD = ({"record": "{}"}, {"record": "no JSON"}, {"record": b"\xff"}, {"record": "[]"}, {"sample": "{}"}, {"x": "y"})


def test_what_is_none_of_labkit_s_is_passed_over_and_said_once(client, settings, caplog):
    stream, written = RecordStream(client, settings), [record(number) for number in range(len(ODD))]
    for odd, one in zip(ODD, written, strict=True):
        client.xadd(stream._key, odd)
        stream.append(one)
    assert stream.read() == written
    stream.append(late := record(99))
    assert stream.read() == [late]
    (said,) = caplog.messages
    assert "is none of labkit's" in said

    samples = LagStream(client, settings)
    for odd in ({"sample": "{}"}, {"record": "{}"}):
        client.xadd(samples._key, odd)
        samples.append(LagSample(f"{odd}", 1.0, [Lag("g", "t", 3)]))
    assert [len(sample.lags) for sample in samples.read()] == [1, 1]


def test_messages_that_are_none_of_celery_s_have_no_id(client, settings):
    prefix = key_prefix(settings)
    good = '{"headers": {"id": "a"}}'
    for text in ("{}", "[]", "no JSON", b"\xff", '{"headers": {"id": 3}}', '{"headers": null}', good):
        client.rpush(level_key(prefix, 0), text)
    for number, text in enumerate(("[]", "{}", "3", '[{"headers": {"id": "b"}}, 1, 2]')):
        client.hset(f"{prefix}unacked", str(number), text)
    assert ids_in_celery(client, settings) == {"a", "b"}


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

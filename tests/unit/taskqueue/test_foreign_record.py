"""Records that others than labkit have written are tasks; what cannot be read, and what labkit has damaged, is none."""

from __future__ import annotations

import json
import re
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadRecord, TaskNotEncodable
from labkit.settings import Settings
from labkit.taskqueue import Task, Topics, WorkerGroup
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.record_format import RECORD_ID, copied, is_foreign
from labkit.taskqueue.task import DEEPEST
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.contract import ProducerConfig, Record
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.transport.values import NAME_UNREADABLE
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None)
TOPIC_ID = "PZ0cbbxGTL2_XGnb8nK9iA"

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
headers = st.lists(st.tuples(texts.filter(lambda name: not name.startswith(("labkit", "task-id"))), st.binary()))


def record(value: bytes | None, *, key: bytes | None = None, headers=(), offset: int = 7) -> Record:
    return Record("t", 1, offset, key, value, tuple(headers), 5_500)


def read(found: Record, *, plain: bool = False) -> Task:
    return Task.decode(found, topic_id=TOPIC_ID, foreign="text" if plain else "json")


@given(json_values, st.none() | texts, headers, st.booleans(), st.booleans())
def test_any_json_value_is_a_payload_and_comes_through_as_it_is(value, key, others, ascii_only, plain):
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    task = read(record(text, key=None if key is None else key.encode(), headers=others), plain=plain)
    kind = value["kind"] if isinstance(value, dict) and isinstance(value.get("kind"), str) else "record"
    assert (task.id, task.kind, task.payload) == (f"{TOPIC_ID}/1/7", kind, value)
    assert (task.key, task.topic, task.created_at, task.attempt) == (key, "t", 5.5, 1)
    assert task.headers == tuple(others)
    own = [name for name, _ in others if name in ("attempt", "idempotency-key")]
    if own:
        with pytest.raises(TaskNotEncodable, match=f"its header '{own[0]}' is labkit's own"):
            task.encode()
        return
    sent = record(None)._replace(**dict(zip(("key", "value", "headers"), task.encode(), strict=True)))
    assert Task.decode(sent) == task  # somebody may send it on


@given(texts)
def test_with_plain_any_text_is_a_payload_and_what_is_json_is_read(text):
    task = read(record(text.encode()), plain=True)
    try:
        meant = json.loads(text)
    except ValueError:
        meant = text
    assert task.payload in (meant, text)  # Python reads NaN and the like, too, which are no JSON


@pytest.mark.parametrize(("plain", "value"), [(True, b"Task 1: Process file A"), (True, b""), (True, b"NaN")])
def test_text_is_a_payload_where_that_is_said(plain, value):
    assert read(record(value), plain=plain).payload == value.decode()
    with pytest.raises(BadRecord, match=r"neither of labkit nor JSON.*`labkit work --plain` takes it"):
        read(record(value))


KEY, VALUE, OWN = Task(id="a", kind="k", payload={"number": 1}, key="a", created_at=1.5).encode()
FIELDS = json.loads(VALUE)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("value", "others", "said"),
    [
        (None, (), "it has no value"),
        (b"\xff\xfe", (), "can't decode"),
        (b'"\xff"', (), "can't decode"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), (), "nested more than 600 deep"),
        (b"1", (NAME_UNREADABLE,), "the name of a header is no UTF-8"),
        # labkit's own, damaged
        (VALUE, (), "'task-id' is missing"),
        (VALUE, OWN[1:], "'task-id' is missing"),
        (VALUE, OWN[:1], "'attempt' is missing"),
        (b'{"task": 1}', OWN, "missing required field `kind`"),
        (b"text", OWN, "malformed"),
        (VALUE, (*OWN, ("labkit-version", b"2")), "version b'2' of labkit's format, and this labkit knows 1"),
        (b'{"task": 1}', (("labkit-version", b"2"),), "version b'2' of labkit's format"),
    ],
)
def test_what_cannot_be_read_and_what_labkit_has_damaged_is_bad(value, others, said, plain):
    with pytest.raises(BadRecord, match=f"t, partition 1, offset 7 is not a task.*{re.escape(said)}"):
        read(record(value, headers=others), plain=plain)


@pytest.mark.parametrize(
    "value",
    [
        FIELDS | {"id": 7},
        FIELDS | {"created_at": "2026-11-30T20:00:00Z"},
        {name: FIELDS[name] for name in ("kind", "payload", "priority")},
    ],
)
def test_what_only_resembles_labkits_own_is_anothers(value):
    assert read(record(json.dumps(value).encode())).payload == value


def test_labkits_own_is_read_with_its_version_too_and_its_id_is_its_own():
    found = record(VALUE, key=KEY, headers=(*OWN, ("labkit-version", b"1"), ("trace", b"\xff")))
    task = read(found)
    assert (task.id.encode(), task.payload, task.headers) == (OWN[0][1], {"number": 1}, (("trace", b"\xff"),))
    assert not is_foreign(found)
    assert copied(found, TOPIC_ID) is found


def test_a_key_that_is_no_text_is_shown_byte_by_byte():
    assert read(record(b"1", key=b"\x00\xc8a")).key == "\x00\\xc8a"


def test_an_id_needs_the_topic_and_a_copy_keeps_it():
    with pytest.raises(BadRecord, match="not known of which topic it is"):
        Task.decode(record(b"1"), foreign="json")
    copy = copied(record(b"1"), TOPIC_ID)._replace(topic="t.later", partition=0, offset=0)
    assert Task.decode(copy, topic_id="another", foreign="json").id == f"{TOPIC_ID}/1/7"
    assert copied(copy, "another") is copy
    assert copy.headers == ((RECORD_ID, f"{TOPIC_ID}/1/7".encode()),)


def test_who_does_not_ask_for_records_of_others_has_none():
    with pytest.raises(BadRecord, match="missing required field"):
        Task.decode(record(b"{}"), topic_id=TOPIC_ID)


@pytest.mark.parametrize(
    "headers", [(("task-id", b"1"),), ((RECORD_ID, b"1"),), (("a", "text"),), ((1, b"b"),), (("\ud800", b""),)]
)
def test_what_cannot_be_headers_of_a_task_is_refused(headers):
    with pytest.raises(TaskNotEncodable):
        Task(id="a", kind="k", headers=headers).encode()


def write(topics: Topics, name: str, *values: bytes | None, key: bytes | None = b"k") -> None:
    client = topics.transport.producer(ProducerConfig())
    for value in values:
        hear = lambda delivery, error: None  # noqa: E731
        trace = (("trace", b"\x00"),)
        client.send(name, partition=0, key=key, value=value, headers=trace, timestamp_ms=5, on_delivery=hear)
    client.close(5)


def test_a_group_works_on_them_and_what_fails_is_put_back_as_the_task_that_it_was():
    got: list[Task] = []

    def handler(task: Task) -> None:
        got.append(task)
        if task.kind == "fails" and len(got) < 4:
            raise ValueError("no")

    values = [b'{"task": "Task 1: Process file A"}', b'{"kind": "fails", "n": 1}', b"text", None]
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        write(topics, "t", *values)
        with WorkerGroup(topic, handler=handler, retry=Retry(attempts=1), settings=SETTINGS) as group:
            records = group.drain(timeout=60)
            with closing(topics.transport.admin()) as admin:
                topic_id = admin.topic_ids(["t"])["t"]
            assert list(records["outcome"]) == ["done", "dead", "bad", "bad"]
            assert list(records["task_id"]) == [f"{topic_id}/0/0", f"{topic_id}/0/1", "", ""]
            letters = DeadLetters(topics, "t")
            dead, text, tombstone = letters.list()
            assert (dead.task().id, dead.value, dead.headers) == (f"{topic_id}/0/1", values[1], (("trace", b"\x00"),))
            assert (text.task(plain=True).payload, text.value, tombstone.value) == ("text", b"text", None)
            assert letters.replay([dead.id, text.id, tombstone.id]) == 3
            group.drain(timeout=60)
        first, again = (task for task in got if task.kind == "fails")
        assert first.evolve(created_at=0) == again.evolve(created_at=0)
        kept = [(one.key, one.value) for one in read_topic(topics.transport, "t")]
        assert kept == [(b"k", value) for value in [*values, *values[1:]]]


def test_a_group_that_takes_text_takes_text():
    got = []
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        write(topics, "t", b"Task 1", b'"Task 2"', b"\xff", key=None)
        handler = lambda task: got.append((task.kind, task.payload, task.key))  # noqa: E731
        with WorkerGroup(topic, handler=handler, membership=Membership(plain=True), settings=SETTINGS) as group:
            records = group.drain(timeout=60)
    assert got == [("record", "Task 1", None), ("record", "Task 2", None)]
    assert list(records["outcome"]) == ["done", "done", "bad"]


def test_a_group_without_work_takes_none_of_them_for_done():
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        write(topics, "t", b'{"task": "Task 1: Process file A"}')
        with WorkerGroup(topic, settings=SETTINGS) as group:
            records = group.drain(timeout=60)
        (letter,) = DeadLetters(topics, "t").list()
    assert list(records["outcome"]) == ["bad"]
    assert letter.value == b'{"task": "Task 1: Process file A"}'

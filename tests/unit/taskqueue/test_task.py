"""A task survives the way to a topic and back; what is not a task is named as such."""

import json
import random
from contextlib import suppress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadRecord, TaskNotEncodable
from labkit.taskqueue.task import DEEPEST, Task, new_task, stock_messages, stock_tasks
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.values import readable

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
# a lone surrogate is no Unicode text and has no UTF-8
texts = st.text(st.characters(exclude_categories=["Cs"]))


def as_record(task: Task, **changes: object) -> Record:
    key, value, headers = task.encode()
    fields = {"key": key, "value": value, "headers": headers} | changes
    return Record(topic="t", partition=1, offset=7, timestamp_ms=5, **fields)


tasks = st.builds(
    Task,
    id=texts,
    kind=texts,
    payload=json_values.filter(lambda value: "\\ud" not in json.dumps(value)),
    key=st.none() | texts,
    topic=st.just("t"),
    priority=st.integers(-(2**63), 2**63 - 1),
    created_at=st.floats(0, 1e10),
    scheduled_at=st.none() | st.floats(0, 1e10),
    idempotency_key=st.none() | texts,
    attempt=st.integers(1, 99),
)


@pytest.mark.slow
@given(tasks)
def test_a_task_comes_back_as_it_went(task):
    assert Task.decode(as_record(task)) == task


def test_the_value_is_json_and_the_ids_are_headers():
    task = Task(id="a", kind="k", payload={"n": 1}, idempotency_key="once", attempt=2, scheduled_at=1.5)
    _, value, headers = task.encode()
    assert json.loads(value) == {"kind": "k", "payload": {"n": 1}, "priority": 0, "created_at": 0.0}
    assert dict(headers) == {
        "task-id": b"a",
        "attempt": b"2",
        "idempotency-key": b"once",
        "scheduled-at": b"1.5",
    }


@pytest.mark.parametrize("payload", [object(), float("nan"), float("inf"), {1, 2}, b"bytes", "\ud800"])
def test_what_json_cannot_hold_is_refused_with_the_task_id(payload):
    with pytest.raises(TaskNotEncodable, match="Task 'a' of kind 'k'"):
        Task(id="a", kind="k", payload=payload).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": float("nan")},
        {"scheduled_at": float("inf")},
        {"kind": "\ud800"},
        {"key": "\ud800"},
        {"id": "\ud800"},
        {"idempotency_key": "\ud800"},
    ],
)
def test_what_would_not_come_back_is_refused(changes):
    with pytest.raises(TaskNotEncodable):
        Task(id="a", kind="k").evolve(**changes).encode()


def nested(depth: int) -> object:
    """So many lists and objects in each other."""
    payload: object = None
    for number in range(depth):
        payload = [payload] if number % 2 else {"in": payload, "beside": 1}
    return payload


@pytest.mark.parametrize("depth", [10, 500, DEEPEST])
def test_a_deep_payload_that_can_be_written_can_be_read(depth):
    task = Task(id="a", kind="k", payload=nested(depth), topic="t")
    assert Task.decode(as_record(task)) == task


@pytest.mark.parametrize("depth", [DEEPEST + 1, 900, 100_000])
def test_what_is_nested_too_deep_is_neither_sent_nor_read(depth):
    with pytest.raises(TaskNotEncodable, match="cannot be written as JSON"):
        Task(id="a", kind="k", payload=nested(depth)).encode()
    record = as_record(Task(id="a", kind="k"))
    value = record.value.replace(b"null", b"[" * depth + b"]" * depth)
    with pytest.raises(BadRecord, match="t, partition 1, offset 7"):
        Task.decode(record._replace(value=value))


def test_brackets_in_a_text_and_beside_each_other_are_not_deep():
    task = Task(id="a", kind="k", payload=["[{" * 5 * DEEPEST, *([] for _ in range(5 * DEEPEST))], topic="t")
    assert Task.decode(as_record(task)) == task


def test_a_payload_that_contains_itself_is_refused():
    payload: list[object] = []
    payload.append(payload)
    with pytest.raises(TaskNotEncodable):
        Task(id="a", kind="k", payload=payload).encode()


GOOD = Task(id="a", kind="k")


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"value": b""},
        {"value": b"not json"},
        {"value": b"\xff\xfe"},
        {"value": b"[]"},
        {"value": b"{}"},
        {"value": b'{"kind": 1, "payload": 1, "priority": 0, "created_at": 0}'},
        {"value": b'{"kind": "k", "payload": 1, "priority": "high", "created_at": 0}'},
        {"value": b'{"kind": "k", "payload": 1, "priority": 0, "created_at": Infinity}'},
        {"value": b'{"kind": "k", "payload": NaN, "priority": 0, "created_at": 0}'},
        {"headers": (*GOOD.encode()[2], ("scheduled-at", b"inf"))},
        {"value": b'{"kind": "k", "payload": 1, "priority": 1e999, "created_at": 0}'},
        {"value": b"[" * 100_000},
        {"headers": ()},
        {"headers": (("task-id", b"a"), ("attempt", b"x"))},
        {"headers": (("task-id", None), ("attempt", b"1"))},
        {"key": b"\xff"},
    ],
)
def test_a_bad_record_says_where_it_is(changes):
    with pytest.raises(BadRecord, match="t, partition 1, offset 7"):
        Task.decode(as_record(GOOD, **changes))


@given(st.binary())
def test_no_value_makes_decode_raise_anything_else(value):
    with suppress(BadRecord):
        Task.decode(as_record(GOOD, value=value))


def test_stock_messages_number_the_tasks_and_letter_the_files():
    messages = list(islice(stock_messages(), 28))
    assert messages[0] == "Task 1: Process file A"
    assert messages[1] == "Task 2: Process file B"
    assert messages[25] == "Task 26: Process file Z"
    assert messages[26] == "Task 27: Process file AA"
    assert messages[27] == "Task 28: Process file AB"


def test_a_seed_repeats_the_tasks():
    def make():
        return stock_tasks(20, seed=4, keys=3, clock=lambda: 1.0)

    assert make() == make()
    assert {task.key for task in make()} == {"key-0", "key-1", "key-2"}
    assert len({task.id for task in make()}) == 20


def test_ids_without_a_seed_differ():
    assert new_task("k").id != new_task("k").id
    assert new_task("k", rng=random.Random(1)).id == new_task("k", rng=random.Random(1)).id


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(),
    st.sampled_from(["\ud800", "high"]),
    st.binary(),
    st.lists(st.integers()),
)
keys = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["0", "1", "true", "null", "1.5"]) | st.just(1.5)
payloads = st.recursive(anything, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=8)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["id", "kind", "key", "priority", "created_at", "scheduled_at", "idempotency_key", "attempt"], anything
        )
        | {"payload": payloads},
    )
)
def test_what_is_sent_can_be_read_again(fields):
    task = Task(**{"id": "a", "kind": "k"} | fields)
    try:
        record = as_record(task)
    except TaskNotEncodable:
        return
    back = Task.decode(record)
    assert (back.id, back.kind, back.key) == (task.id, task.kind, task.key)
    assert (back.priority, back.attempt, back.idempotency_key) == (task.priority, task.attempt, task.idempotency_key)
    assert back.payload == json.loads(json.dumps(task.payload))


@pytest.mark.parametrize(
    "payload",
    [
        {1: "a", "1": "b"},
        {True: "a", "true": "b"},
        {None: "a", "null": "b"},
        {1.5: "a", "1.5": "b"},
        [{"x": {2: 1, "2": 2}}],
    ],
    ids=repr,
)
def test_keys_that_are_the_same_text_are_refused(payload):
    with pytest.raises(TaskNotEncodable, match="same text"):
        Task(id="a", kind="k", payload=payload).encode()


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize(
    "field", ["id", "kind", "key", "priority", "created_at", "scheduled_at", "idempotency_key", "attempt"]
)
def test_numbers_for_which_nobody_has_room_are_refused(field, digits):
    with pytest.raises(TaskNotEncodable, match="of kind"):
        Task(**{"id": "a", "kind": "k"} | {field: 10**digits}).encode()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("field", ["priority", "attempt"])
def test_numbers_beyond_64_bits_are_neither_sent_nor_read(field, number):
    task = Task(id="a", kind="k")
    with pytest.raises(TaskNotEncodable, match="64 bits"):
        task.evolve(**{field: number}).encode()
    record = as_record(task)
    if field == "priority":
        record = record._replace(value=record.value.replace(b'"priority":0', b'"priority":%d' % number))
    else:
        record = record._replace(headers=(("task-id", b"a"), ("attempt", b"%d" % number)))
    with pytest.raises(BadRecord, match="t, partition 1, offset 7"):
        Task.decode(record)


@pytest.mark.parametrize("name", ["task-id", "attempt", "idempotency-key", "scheduled-at", "another"])
def test_a_header_without_a_value_makes_a_bad_record(name):
    record = as_record(Task(id="a", kind="k"))
    record = record._replace(headers=readable({**dict(record.headers), name: None}.items()))
    assert all(isinstance(value, bytes) for _, value in record.headers)
    with pytest.raises(BadRecord, match=f"'{name}' has no value"):
        Task.decode(record)

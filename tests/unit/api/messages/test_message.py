"""A message, its id, and how it stands on the topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.api.messages import Message
from labkit.api.messages.message import check_group, decode_message, encode_message
from labkit.errors import BadGroupName, BadRecord, MessageTooLarge, NotAMessage
from labkit.taskqueue.task import new_task
from labkit.taskqueue.transport.contract import Record

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AUTHOR = UUID("12345678-1234-4234-8234-123456789abc")

zones = st.timedeltas(min_value=timedelta(hours=-14), max_value=timedelta(hours=14)).map(timezone)
moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zone comes from `zones`
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=zones,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
messages = st.builds(Message, timestamp=moments, title=texts, body=texts, author=st.uuids(), topic=texts)


def message(**changes: object) -> Message:
    fields = {"timestamp": NOON, "title": "t", "body": "b", "author": AUTHOR, "topic": "orders"}
    return Message(**fields | changes)  # type: ignore[arg-type]


def record_of(one: Message) -> Record:
    return Record("orders", 0, 7, *encode_message(one, one.id, at=1.0), 1000)


def test_the_id_is_the_same_for_ever() -> None:
    assert message().id == UUID("89608c9f-5217-5afc-9ed5-4fd33e50d5db")
    assert message().id.version == 5


def test_the_same_moment_in_another_zone_is_the_same_message() -> None:
    assert message(timestamp=NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))).id == message().id


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": NOON + timedelta(microseconds=1)},
        {"title": "T"},
        {"body": "b "},
        {"author": uuid4()},
        {"topic": "emails"},
        {"title": "", "body": "tb"},
        {"title": 't","b', "body": ""},
    ],
)
def test_any_other_message_has_another_id(changes: dict[str, object]) -> None:
    assert message(**changes).id != message().id


@given(messages)
def test_it_comes_back_from_the_topic_as_it_was(one: Message) -> None:
    found_id, found = decode_message(record_of(one))
    assert found_id == found.id == one.id
    assert found == one


@given(messages, messages)
def test_two_have_the_same_id_if_and_only_if_they_are_equal(one: Message, other: Message) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timestamp": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"timestamp": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "out of range"),
        ({"title": "\ud800"}, "not valid Unicode"),
    ],
)
def test_what_cannot_be_a_message_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(NotAMessage, match=reason):
        message(**changes)


@pytest.mark.parametrize(
    "payload",
    [None, "text", [], {}, {**message().payload(), "author": "me"}, {**message().payload(), "title": 1},
     {**message().payload(), "timestamp": "noon"}, {**message().payload(), "author": 7}],
)  # fmt: skip
def test_a_payload_that_is_none_is_refused(payload: object) -> None:
    with pytest.raises(NotAMessage):
        Message.of_payload(payload)
    task = new_task("message", payload)
    with pytest.raises(BadRecord, match="offset 7 is not a message"):
        decode_message(Record("orders", 0, 7, *task.encode(), 1000))


def test_a_task_whose_id_is_no_uuid_is_not_a_message() -> None:
    task = new_task("message", message().payload()).evolve(id="task-1")
    with pytest.raises(BadRecord, match="not a message"):
        decode_message(Record("orders", 0, 7, *task.encode(), 1000))


def test_what_others_have_written_is_no_message_whatever_it_looks_like() -> None:
    value = json.dumps({"kind": "message", "id": str(uuid4()), **message().payload()}).encode()
    with pytest.raises(BadRecord, match="orders, partition 0, offset 7"):
        decode_message(Record("orders", 0, 7, None, value, (), 1000))


def test_one_that_is_too_large_is_refused_by_its_size_in_bytes() -> None:
    with pytest.raises(MessageTooLarge, match="takes 1,"):
        encode_message(message(body="é" * 500_000), uuid4(), at=1.0)


@pytest.mark.parametrize("group", ["g", "a-b_c.d", "9", "x" * 100])
def test_names_of_groups(group: str) -> None:
    check_group(group)


@pytest.mark.parametrize("group", ["", "a b", "a~b", "é", ".a", "x" * 101, "a\n", "a/b"])
def test_names_that_no_group_can_have(group: str) -> None:
    with pytest.raises(BadGroupName):
        check_group(group)

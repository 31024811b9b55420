"""How a task stands in a record: labkit's own format, and records of others. docs/wire_format.md tells it to people.

labkit's own is known by its header `task-id`, or by `labkit-version`. One that has lost its headers is still known by
its value. Whatever else there is, others have written: its value is the payload, and its place is its id.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import DecodeError, Meta, Struct

from labkit.taskqueue.transport.values import Headers, Record
from labkit.typed_values import json_decoder

TASK_ID, ATTEMPT, IDEMPOTENCY_KEY, SCHEDULED_AT = "task-id", "attempt", "idempotency-key", "scheduled-at"
#: Which version of labkit's format a record has; those of the first, which is all there is, have no such header.
VERSION, FIRST_VERSION = "labkit-version", b"1"
#: The id of a record of others that labkit has written once more, elsewhere: it was made of the place where it was.
RECORD_ID = "labkit-record-id"
#: The headers that are labkit's; all others are a task's own.
OWN_HEADERS = frozenset((TASK_ID, ATTEMPT, IDEMPOTENCY_KEY, SCHEDULED_AT, VERSION, RECORD_ID))

#: What is made of records of others: none is a task; each that holds JSON is; each that holds JSON or any other text.
ForeignRecords = Literal["refused", "json", "text"]

#: The kind of a task in a record of others that names none.
RECORD_KIND = "record"

#: The smallest and the largest number that has room in 64 bits, as in the records of what was done.
SMALLEST, LARGEST_NUMBER = -(2**63), 2**63 - 1


class TaskValue(Struct):
    """What stands in the value of a record of labkit."""

    kind: str
    payload: Any
    priority: Annotated[int, Meta(ge=SMALLEST, le=LARGEST_NUMBER)]
    created_at: float


class _NothingElse(TaskValue, forbid_unknown_fields=True):
    """The same, and no other field."""


read_value = json_decoder(TaskValue).decode
_read_nothing_else = json_decoder(_NothingElse).decode
_read_json = json_decoder(Any).decode


def is_foreign(record: Record) -> bool:
    """Whether others have written this record. A damaged one of labkit is none of theirs."""
    names = {name for name, _ in record.headers}
    if TASK_ID in names or VERSION in names:
        return False
    try:
        _read_nothing_else(record.value or b"")
    except (ValueError, RecursionError):
        return True
    return False  # it has lost its headers


def foreign_id(record: Record, topic_id: str) -> str:
    """The id of the task in a record of others, from the topic with this id (KIP-516).

    It is that of the record that it is a copy of, where labkit has made it. Raises `ValueError` if there is none.
    """
    told = dict(record.headers).get(RECORD_ID)
    if told is not None:
        return told.decode(errors="backslashreplace")
    if not topic_id:
        raise ValueError("labkit has not written it, and it is not known of which topic it is")
    return f"{topic_id}/{record.partition}/{record.offset}"


def foreign_payload(value: bytes, foreign: ForeignRecords) -> Any:
    """The payload in a record of others; raises `ValueError` for what cannot be read, and `RecursionError`."""
    try:
        return _read_json(value)
    except (DecodeError, UnicodeDecodeError) as error:
        text = value.decode()
        if foreign == "text":
            return text
        raise ValueError(
            f"it is neither of labkit nor JSON ({error}); where records hold plain text, `labkit work --plain` takes it"
        ) from error


def foreign_kind(payload: Any) -> str:
    """The kind of a task in a record of others, by its payload."""
    kind = payload.get("kind") if isinstance(payload, dict) else None
    return kind if isinstance(kind, str) else RECORD_KIND


def foreign_key(key: bytes | None) -> str | None:
    """The key of such a record as a text; what is no UTF-8 in it stands as \\xNN."""
    return None if key is None else key.decode(errors="backslashreplace")


def other_headers(headers: Headers) -> Headers:
    """Those that are a task's own."""
    return tuple(header for header in headers if header[0] not in OWN_HEADERS)


def foreign_headers(headers: Headers) -> Headers:
    """Those of a record of others: all but the id that labkit has given to a copy."""
    return tuple(header for header in headers if header[0] != RECORD_ID)


def copied(record: Record, topic_id: str) -> Record:
    """This record as it is to stand elsewhere: its task keeps its id, also where others have written it.

    `topic_id` is that of the topic from which it is; where it is not known, the record stays as it is.
    """
    is_known = not topic_id or record.value is None or any(name == RECORD_ID for name, _ in record.headers)
    if is_known or not is_foreign(record):
        return record
    return record._replace(headers=(*record.headers, (RECORD_ID, foreign_id(record, topic_id).encode())))

"""A task and how it stands on a topic: a JSON object as the value, ids and times as headers.

value    {"kind": …, "payload": …, "priority": …, "created_at": …}      JSON, UTF-8
key      the task's key, UTF-8; decides the partition (with `key_hash`)
headers  task-id, attempt, idempotency-key, and scheduled-at where a schedule drove the sending; then the task's own

A record that others have written is a task too, see `labkit.taskqueue.record_format`.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Self
from uuid import UUID, uuid4

from msgspec import Raw, Struct
from msgspec.json import Encoder
from msgspec.structs import replace

from labkit.errors import BadRecord, TaskNotEncodable
from labkit.parameters import checked
from labkit.taskqueue.record_format import (
    ATTEMPT,
    FIRST_VERSION,
    IDEMPOTENCY_KEY,
    LARGEST_NUMBER,
    OWN_HEADERS,
    SCHEDULED_AT,
    SMALLEST,
    TASK_ID,
    VERSION,
    ForeignRecords,
    TaskValue,
    foreign_headers,
    foreign_id,
    foreign_key,
    foreign_kind,
    foreign_payload,
    is_foreign,
    other_headers,
    read_value,
)
from labkit.taskqueue.transport.contract import Headers, Record
from labkit.taskqueue.transport.values import UNREADABLE

#: So deep lists and objects may stand in each other in a payload: JSON libraries give up somewhere above, each at a
#: depth of its own, so that one could write what another cannot read.
DEEPEST = 600
_TEXT_OR_NONE, _USUAL = (str, type(None)), 2**31  # what nearly every task has: only others are looked at closely

_write_value = Encoder().encode
# The payload is written by json, since msgspec would turn NaN into null and bytes into text, unasked.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Task(Struct, frozen=True, kw_only=True):
    """One piece of work. Times are seconds since the epoch; `payload` is anything that JSON can hold.

    `headers` are those of its record that are not labkit's own, as they stand on Kafka: names and bytes.
    `attempt` tells a handler which one it makes: 1, or more after failures; where its worker dies, they count anew.
    """

    id: str
    kind: str
    payload: Any = None
    key: str | None = None
    topic: str | None = None
    priority: int = 0
    created_at: float = 0.0
    scheduled_at: float | None = None
    idempotency_key: str | None = None
    attempt: int = 1
    headers: Headers = ()

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def encode(self) -> tuple[bytes | None, bytes, Headers]:
        """Key, value and headers for the topic; raises `TaskNotEncodable` for what would not come back as a task."""
        try:
            self._must_be_a_task()
            _must_keep_its_keys(self.payload)
            payload = _to_json(self.payload).encode()
            _must_not_be_too_deep(payload, self.payload)
            value = _write_value(TaskValue(self.kind, Raw(payload), self.priority, _finite(self.created_at)))
            key = None if self.key is None else self.key.encode()
            headers = [(TASK_ID, self.id.encode()), (ATTEMPT, b"%d" % self.attempt)]
            if self.idempotency_key is not None:
                headers.append((IDEMPOTENCY_KEY, self.idempotency_key.encode()))
            if self.scheduled_at is not None:
                headers.append((SCHEDULED_AT, repr(_finite(self.scheduled_at)).encode()))
            if self.headers:
                headers += _must_be_headers(self.headers)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise TaskNotEncodable(
                f"Task {_shown(self.id)} of kind {_shown(self.kind)} cannot be written as JSON: {error}. "
                "A payload may hold texts, finite numbers, true, false, null, lists and objects with text keys."
            ) from error
        return key, value, tuple(headers)

    def _must_be_a_task(self) -> None:
        """Raise `TypeError` or `ValueError` for a field that is not of its type, which nobody could read back."""
        for name, text in (("id", self.id), ("kind", self.kind)):
            if not isinstance(text, str):
                raise TypeError(f"its {name} is {_shown(text)}, which is no text")
        for name, optional in (("key", self.key), ("idempotency_key", self.idempotency_key)):
            if optional is not None and not isinstance(optional, str):
                raise TypeError(f"its {name} is {_shown(optional)}, which is no text")
        for name, number in (("priority", self.priority), ("attempt", self.attempt)):
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"its {name} is {_shown(number)}, which is no whole number")
            if not SMALLEST <= number <= LARGEST_NUMBER:
                raise ValueError(f"its {name} is {_shown(number)}, which has no room in 64 bits")
        for name, moment in (("created_at", self.created_at), ("scheduled_at", self.scheduled_at)):
            if moment is not None and (not isinstance(moment, int | float) or isinstance(moment, bool)):
                raise TypeError(f"its {name} is {_shown(moment)}, which is no time in seconds")

    @classmethod
    def decode(cls, record: Record, *, topic_id: str = "", foreign: ForeignRecords = "refused") -> Task:
        """The task that stands in a record; raises `BadRecord`, which says what is wrong and where.

        `foreign` says what is made of records of others; the id of such a task names the `topic_id` and its place.
        """
        try:
            headers = dict(record.headers)
            if UNREADABLE in headers:
                raise ValueError(headers[UNREADABLE].decode(errors="replace"))
            if record.value is None:
                raise ValueError("it has no value")
            if foreign != "refused" and TASK_ID not in headers and is_foreign(record):
                return cls._of_foreign(record, topic_id, foreign_payload(record.value, foreign))
            if headers.get(VERSION, FIRST_VERSION) != FIRST_VERSION:
                raise ValueError(f"it is of version {headers[VERSION]!r} of labkit's format, and this labkit knows 1")
            value = read_value(record.value)
            _must_not_be_too_deep(record.value, value.payload)
            scheduled_at = headers.get(SCHEDULED_AT)
            idempotency_key = headers.get(IDEMPOTENCY_KEY)
            usual = 2 + (scheduled_at is not None) + (idempotency_key is not None)
            return cls(
                id=headers[TASK_ID].decode(),
                kind=value.kind,
                payload=value.payload,
                key=None if record.key is None else record.key.decode(),
                topic=record.topic,
                priority=value.priority,
                created_at=value.created_at,
                scheduled_at=None if scheduled_at is None else _finite(scheduled_at),
                idempotency_key=None if idempotency_key is None else idempotency_key.decode(),
                attempt=_int64(headers[ATTEMPT]),
                headers=() if len(record.headers) == usual else other_headers(record.headers),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BadRecord(f"The record at {where} is not a task: {reason}.") from error

    @classmethod
    def _of_foreign(cls, record: Record, topic_id: str, payload: Any) -> Task:
        """The task with this payload in a record that others have written."""
        _must_not_be_too_deep(record.value or b"", payload)
        return cls(
            id=foreign_id(record, topic_id),
            kind=foreign_kind(payload),
            payload=payload,
            key=foreign_key(record.key),
            topic=record.topic,
            created_at=max(0, record.timestamp_ms) / 1000,
            headers=foreign_headers(record.headers),
        )


def _must_be_headers(headers: Headers) -> Headers:
    """Raise `TypeError` or `ValueError` for what cannot be the headers of a task."""
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, bytes)):
            raise TypeError(f"its header {_shown(name)} is {_shown(value)}: a name is a text, and a value is bytes")
        if name in OWN_HEADERS or name == UNREADABLE:
            raise ValueError(f"its header {name!r} is labkit's own")
        name.encode()
    return headers


def _must_not_be_too_deep(json_text: bytes, payload: Any) -> None:
    """As `check_depth`; most texts are seen to be shallow without a look at what they say."""
    if len(json_text) > 2 * DEEPEST and json_text.count(b"[") + json_text.count(b"{") > DEEPEST:
        check_depth(payload)


def check_depth(payload: Any, deepest: int = DEEPEST) -> None:
    """Raise `ValueError` where more than so many lists and objects stand in each other."""
    level, depth = [payload], 0
    while level := [one for one in level if isinstance(one, dict | list | tuple)]:
        depth += 1
        if depth > deepest:
            raise ValueError(f"its payload is nested more than {deepest} deep")
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]


def _must_keep_its_keys(payload: Any) -> None:
    """Raise `ValueError` where two keys of an object are the same text in JSON: one of their values would be lost."""
    if isinstance(payload, dict):
        texts = payload.keys() if all(type(key) is str for key in payload) else set(map(_as_json_key, payload))
        if len(texts) < len(payload):
            raise ValueError("two keys of an object are the same text in JSON")
        for value in payload.values():
            _must_keep_its_keys(value)
    elif isinstance(payload, list | tuple):
        for value in payload:
            _must_keep_its_keys(value)


def _as_json_key(key: Any) -> str:
    """What json makes of a key; it refuses others than these by itself."""
    return key if isinstance(key, str) else _to_json(key)


def _int64(value: bytes) -> int:
    number = int(value)
    if not SMALLEST <= number <= LARGEST_NUMBER:
        raise ValueError(f"{number} has no room in 64 bits")
    return number


def _shown(value: object) -> str:
    """As it stands in a message; Python writes out no number of thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return f"too long a {type(value).__name__}"


def _finite(value: bytes | float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a time")
    return number


def new_task(
    kind: str,
    payload: Any = None,
    *,
    key: str | None = None,
    priority: int = 0,
    idempotency_key: str | None = None,
    clock: Callable[[], float] = time.time,
    rng: random.Random | None = None,
) -> Task:
    """A task with a fresh UUID (by `rng`: a seed repeats it) and the clock's time; raises `TaskNotEncodable`."""
    task = Task(
        id=str(uuid4() if rng is None else UUID(int=rng.getrandbits(128), version=4)),
        kind=kind,
        payload=payload,
        key=key,
        priority=priority,
        created_at=clock(),
        idempotency_key=idempotency_key,
    )
    fits = type(kind) is str and type(priority) is int and -_USUAL < priority < _USUAL
    if not fits or type(key) not in _TEXT_OR_NONE or type(idempotency_key) not in _TEXT_OR_NONE:
        task.encode()  # it says what is wrong; every task is made here, so this is not done for all
    return task


#: The kind of the tasks that `labkit produce` sends without messages, and with them.
STOCK_KIND, MESSAGE_KIND = "process_file", "message"


def stock_messages() -> Iterator[str]:
    """ "Task 1: Process file A", "Task 2: Process file B", … without end; after Z come AA, AB, …"""
    number = 0
    while True:
        number += 1
        yield f"Task {number}: Process file {_letters(number)}"


def _letters(number: int) -> str:
    name = ""
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


@checked
def stock_tasks(
    count: int, *, seed: int, keys: int | None = None, clock: Callable[[], float] = time.time
) -> list[Task]:
    """`count` stock tasks with ids from the seed; with `keys`, each has one of that many keys, drawn evenly."""
    rng = random.Random(seed)
    return [
        new_task(STOCK_KIND, message, key=None if keys is None else f"key-{rng.randrange(keys)}", clock=clock, rng=rng)
        for message, _ in zip(stock_messages(), range(count), strict=False)
    ]

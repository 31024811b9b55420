"""A message, its id, and one delivery of it to a poller.

The id is a UUID of version 5 (https://www.rfc-editor.org/rfc/rfc9562#section-5.5) over a canonical form of the whole
message. So the same message has the same id in every process and after every restart, without anybody remembering it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid5

from labkit.errors import BadGroupName, BadRecord, MessageTooLarge, NotAMessage
from labkit.parameters import check_fields, check_names
from labkit.taskqueue.task import MESSAGE_KIND, Task
from labkit.taskqueue.transport.contract import MAX_RECORD_BYTES, Headers, Record

#: The namespace of the ids: uuid5(NAMESPACE_URL, "labkit:message"). Another one would give every message another id.
NAMESPACE = UUID("88ddef30-0906-537f-919f-698db2ec0bd9")

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# one form for one message: no spaces, no escapes, the fields in a fixed order
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one author says at one moment to one queue; `topic` is the name of the queue.

    `timestamp` has a time zone; the same moment in two zones is the same. Raises `NotAMessage`, and `BadType`.
    """

    timestamp: datetime
    title: str
    body: str
    author: UUID
    topic: str

    def __post_init__(self) -> None:
        check_fields(self, ranges=False)
        if self.timestamp.tzinfo is None:
            raise NotAMessage(f"The timestamp {self.timestamp.isoformat()} has no time zone. Write one, as Z for UTC.")
        try:
            self.timestamp.astimezone(UTC)
            f"{self.title}{self.body}{self.topic}".encode()
        except OverflowError:
            raise NotAMessage(f"The timestamp {self.timestamp.isoformat()} is out of range in UTC.") from None
        except UnicodeEncodeError as error:
            raise NotAMessage(f"A text of the message is not valid Unicode: {error.reason}.") from error

    @property
    def id(self) -> UUID:
        """The id, which all processes give this message."""
        fields = (self._moment(), self.title, self.body, str(self.author), self.topic)
        return uuid5(NAMESPACE, _canonical(fields))

    def payload(self) -> dict[str, str]:
        """The message as JSON values, as it stands on the topic."""
        return {
            "timestamp": self._moment(),
            "title": self.title,
            "body": self.body,
            "author": str(self.author),
            "topic": self.topic,
        }

    @classmethod
    def of_payload(cls, payload: Any) -> Self:
        """Read what `payload` wrote; raises `NotAMessage`."""
        try:
            title, body, topic = payload["title"], payload["body"], payload["topic"]
            if not (isinstance(title, str) and isinstance(body, str) and isinstance(topic, str)):
                raise NotAMessage("The title, the body and the topic of a message are texts.")
            moment = datetime.fromisoformat(payload["timestamp"])
            return cls(timestamp=moment, title=title, body=body, author=UUID(payload["author"]), topic=topic)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise NotAMessage(f"This is no message: {reason}.") from error

    def _moment(self) -> str:
        return self.timestamp.astimezone(UTC).isoformat(timespec="microseconds")


def encode_message(message: Message, message_id: UUID, *, at: float) -> tuple[bytes | None, bytes, Headers]:
    """Key, value and headers of its record: a task of kind "message", whose id is the message's.

    `at` is in seconds since the epoch. Raises `MessageTooLarge`.
    """
    name = str(message_id)
    task = Task(id=name, kind=MESSAGE_KIND, payload=message.payload(), key=name, created_at=at, idempotency_key=name)
    key, value, headers = task.encode()
    size = len(value) + len(key or b"") + sum(len(text) + len(content) for text, content in headers)
    if size > MAX_RECORD_BYTES:
        raise MessageTooLarge(
            f"The message {message.title[:40]!r} takes {size:,} bytes on the topic, and a record may take "
            f"{MAX_RECORD_BYTES:,}. Put the body elsewhere and send its address."
        )
    return key, value, headers


def decode_message(record: Record) -> tuple[UUID, Message]:
    """The message in a record, and its id; raises `BadRecord` for a record that the message API did not write."""
    task = Task.decode(record)
    try:
        message_id = UUID(task.id)
        message = Message.of_payload(task.payload)
    except (ValueError, NotAMessage) as error:
        where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        raise BadRecord(f"The record at {where} is not a message: {error}") from error
    return message_id, message


def is_message(record: Record) -> bool:
    """Whether the message API wrote this record."""
    try:
        decode_message(record)
    except BadRecord:
        return False
    return True


def check_group(group: str) -> None:
    """Raises `BadGroupName` unless this can be the name of a group that polls."""
    if not _GROUP.fullmatch(group):
        raise BadGroupName(
            f"{group[:120]!r} cannot be the name of a group. Use up to 100 letters, digits, dots, dashes and "
            "underscores, a letter or digit first."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of a message to one poller of `group`.

    `deliveries`: how often the group was given it, with this time. `token` names the lease, for `ack` and `nack`; None
    where the message counts as acknowledged already. `leased_until` is in seconds since the epoch, by the clock of
    Redis; None without a lease.
    """

    id: UUID
    message: Message
    group: str
    partition: int
    offset: int
    deliveries: int
    token: str | None = None
    leased_until: float | None = None

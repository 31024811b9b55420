"""What goes in and out as JSON. Times are RFC 3339 texts with a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from labkit.api.limits import MAX_BATCH, MAX_TEXT, MAX_TITLE
from labkit.api.messages import Delivery, GroupJourney, Journey, Message, Station
from labkit.jobs import MAX_JOB_ID, Job, JobEvent, JobStatus

#: https://www.rfc-editor.org/rfc/rfc3339#section-5.6; Pydantic alone would take numbers and dates for times.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _rfc_3339(value: object) -> object:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("write the time as 2026-01-31T12:00:00Z")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 3.0 is a whole one. A text or a truth value is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("write a whole number")


JobId = Annotated[int, Field(ge=1, le=MAX_JOB_ID), BeforeValidator(_whole)]

_EXAMPLE_MESSAGE: JsonDict = {
    "timestamp": "2026-01-31T12:00:00Z",
    "title": "Order 17",
    "body": "Two coffees, one tea",
    "author": "6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11",
    "topic": "orders",
}


class MessageIn(BaseModel):
    """A message to be sent. The same five values are the same message, with the same id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE_MESSAGE]})

    timestamp: Time
    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]
    body: Annotated[str, Field(max_length=MAX_TEXT)]
    author: UUID
    topic: Annotated[str, Field(min_length=1, max_length=249)]

    def message(self) -> Message:
        """The same as the queues know it. Raises `NotAMessage`."""
        return Message(timestamp=self.timestamp, title=self.title, body=self.body, author=self.author, topic=self.topic)


MessageBatch = Annotated[list[MessageIn], Field(min_length=1, max_length=MAX_BATCH)]


class MessageOut(BaseModel):
    """A message as it was sent."""

    timestamp: datetime
    title: str
    body: str
    author: UUID
    topic: str


class DeliveryOut(BaseModel):
    """The next one message. `deliveries` counts how often the group was given it, this time included.

    `lease` is needed to acknowledge it; null where it counts as acknowledged already.
    """

    id: UUID
    message: MessageOut
    group: str
    partition: int
    offset: int
    deliveries: int
    lease: str | None
    leased_until: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The delivery as JSON has it."""
        message = delivery.message
        return cls(
            id=delivery.id,
            message=MessageOut(
                timestamp=message.timestamp,
                title=message.title,
                body=message.body,
                author=message.author,
                topic=message.topic,
            ),
            group=delivery.group,
            partition=delivery.partition,
            offset=delivery.offset,
            deliveries=delivery.deliveries,
            lease=delivery.token,
            leased_until=moment_if_known(delivery.leased_until),
        )


class LeaseIn(BaseModel):
    """Which delivery is meant: the `lease` that came with it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"lease": "3f0c9a…"}]})

    lease: Annotated[str, Field(min_length=1, max_length=200)]


class GroupJourneyOut(BaseModel):
    """The message in one group that has got it."""

    group: str
    station: Station
    deliveries: int
    delivered_at: datetime
    acknowledged_at: datetime | None
    dead_at: datetime | None

    @classmethod
    def of(cls, part: GroupJourney) -> Self:
        """The same as JSON has it."""
        return cls(
            group=part.group,
            station=part.station,
            deliveries=part.deliveries,
            delivered_at=moment(part.delivered_at),
            acknowledged_at=moment_if_known(part.acknowledged_at),
            dead_at=moment_if_known(part.dead_at),
        )


class JourneyOut(BaseModel):
    """Where a message is. `station` is the farthest it has come in any group."""

    id: UUID
    topic: str
    station: Station
    accepted_at: datetime | None
    partition: int | None
    offset: int | None
    queued_at: datetime | None
    groups: list[GroupJourneyOut]

    @classmethod
    def of(cls, journey: Journey) -> Self:
        """The journey as JSON has it."""
        return cls(
            id=journey.id,
            topic=journey.topic,
            station=journey.station,
            accepted_at=moment_if_known(journey.accepted_at),
            partition=journey.partition,
            offset=journey.offset,
            queued_at=moment_if_known(journey.queued_at),
            groups=[GroupJourneyOut.of(part) for part in journey.groups],
        )


class JobIn(BaseModel):
    """A job to be created; without an id, one is drawn. A job begins as NEW."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"job_id": 1234, "status": "NEW"}]})

    job_id: JobId | None = None
    status: Literal["NEW"] = "NEW"


class JobOut(BaseModel):
    """A job as far as it is known. `version` counts its changes; `at` is when the last one was."""

    job_id: int
    status: JobStatus
    version: int
    attempt: int
    at: datetime
    created_at: datetime | None
    worker: str | None
    error: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The job as JSON has it."""
        return cls(
            job_id=job.job_id,
            status=job.status,
            version=job.version,
            attempt=job.attempt,
            at=moment(job.at),
            created_at=moment_if_known(job.created_at),
            worker=job.worker,
            error=job.error,
        )


class JobEventOut(BaseModel):
    """One change of a job."""

    job_id: int
    status: JobStatus
    version: int
    attempt: int
    at: datetime
    worker: str | None
    error: str | None

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        """The event as JSON has it."""
        return cls(
            job_id=event.job_id,
            status=event.status,
            version=event.version,
            attempt=event.attempt,
            at=moment(event.at),
            worker=event.worker,
            error=event.error,
        )


class JobPage(BaseModel):
    """Jobs in the order of their ids. `next` is the value of `after` for the next page; null at the end."""

    jobs: list[JobOut]
    next: int | None


class QueueOut(BaseModel):
    """A queue: how many of its messages are not finished, and how many may be before senders are told to wait."""

    name: str
    unfinished: int
    limit: int


class OverviewOut(BaseModel):
    """The queues, and how many jobs are in each state. `changes` is the number of the last change of a job."""

    queues: list[QueueOut]
    jobs: dict[JobStatus, int]
    changes: int


class Health(BaseModel):
    """`alive` or `ready`."""

    status: Literal["alive", "ready"]


class Mistake(BaseModel):
    """What does not fit in a request, and where."""

    where: str
    what: str


class ProblemOut(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    mistakes: list[Mistake] | None = None


def moment(seconds: float) -> datetime:
    """The time in UTC, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_if_known(seconds: float | None) -> datetime | None:
    """The same of what may not be known."""
    return None if seconds is None else moment(seconds)

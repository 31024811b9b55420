"""The routes of the messages: create, poll, acknowledge, follow."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from labkit.api.idempotency_route import HEADER, KEY_PATTERN, IdempotentRoute
from labkit.api.models import DeliveryOut, JourneyOut, LeaseIn, MessageBatch
from labkit.api.openapi import problems
from labkit.api.services import OfServer
from labkit.errors import UnknownMessage, UnknownQueue

log = logging.getLogger("labkit.api")

#: The longest wait for a message, in seconds.
LONGEST_WAIT = 30.0
#: The group of pollers that name none.
DEFAULT_GROUP = "api"

#: As a parameter of routes that heed it; `IdempotentRoute` reads it.
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        pattern=KEY_PATTERN,
        description="a value that is new for every new request; a repeated request brings the same one",
        json_schema_extra={"example": "8e03978e-40d5-43dd-bc93-6894a57f9324"},
    ),
]

message_creation = APIRouter(prefix="/message", tags=["messages"], route_class=IdempotentRoute)
messages = APIRouter(prefix="/message", tags=["messages"])


@message_creation.post("/create", responses=problems(409, 415, 429), summary="Queue messages")
async def create(batch: MessageBatch, services: OfServer, _key: IdempotencyKey = None) -> list[UUID]:
    """Queue these messages, all or none, and answer with their ids in order when Kafka has acknowledged them.

    The same message (author, timestamp, topic, title and body) has the same id and is queued once, however often it is
    sent.
    """
    counts = Counter(message.topic for message in batch)
    for topic in counts:
        _must_be_a_queue(topic, services.names)
    with services.admission.enter(counts) as entry:
        ids = await services.queues.create([message.message() for message in batch], on_queued=entry.queued)
    log.info("created %s", " ".join(map(str, ids)))
    # a response of its own: FastAPI would check every id again
    return JSONResponse([str(one) for one in ids])  # type: ignore[return-value]


@messages.get(
    "/poll",
    responses={204: {"description": "There is no message"}, **problems(429)},
    response_model=DeliveryOut,
    summary="The next message",
)
async def poll(
    services: OfServer,
    topic: Annotated[
        str | None,
        Query(description="the queue; without, all of them in turn", json_schema_extra={"example": "orders"}),
    ] = None,
    group: Annotated[
        str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="every group gets every message")
    ] = DEFAULT_GROUP,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="how long to wait for one, in seconds")] = 0,
    ack: Annotated[
        Literal["auto", "explicit"], Query(description="auto: the answer acknowledges it; explicit: it is leased")
    ] = "auto",
) -> Response:
    """The next message that nobody of the group has, of this queue or of any, or 204.

    With `ack=explicit` it must be acknowledged by `POST /message/{id}/ack` before its lease ends; else it is delivered
    again, and after too many deliveries it becomes a dead letter.
    """
    explicit = ack == "explicit"
    if topic is None:
        delivery = await services.any_queue.poll(group, wait=wait, explicit=explicit)
    else:
        _must_be_a_queue(topic, services.names)
        delivery = await services.queues.poll(topic, group, wait=wait, explicit=explicit)
    if delivery is None:
        return Response(status_code=204)
    log.info(
        "delivered %s of %s to %s, for the %d. time", delivery.id, delivery.message.topic, group, delivery.deliveries
    )
    return Response(DeliveryOut.of(delivery).model_dump_json(), media_type="application/json")


@messages.get("/{message_id:uuid}", responses=problems(), summary="The journey of a message")
async def journey(message_id: UUID, services: OfServer) -> JourneyOut:
    """Where the message is: accepted, queued with partition and offset, delivered, acknowledged, dead."""
    found = await services.queues.journey(message_id)
    if found is None:
        raise UnknownMessage(f"There is no message {message_id}, or it is older than ids are kept.")
    return JourneyOut.of(found)


@messages.post("/{message_id:uuid}/ack", status_code=204, responses=problems(409, 415), summary="Acknowledge")
async def ack(message_id: UUID, lease: LeaseIn, services: OfServer) -> None:
    """The message is done. Any server of the API may be asked."""
    await services.queues.ack(message_id, lease.lease)
    log.info("acknowledged %s", message_id)


@messages.post("/{message_id:uuid}/nack", status_code=204, responses=problems(409, 415), summary="Give back")
async def nack(message_id: UUID, lease: LeaseIn, services: OfServer) -> None:
    """The message is not done: it is delivered again, at once, unless that was the last time."""
    await services.queues.nack(message_id, lease.lease)
    log.info("given back %s", message_id)


def _must_be_a_queue(topic: str, names: tuple[str, ...]) -> None:
    if topic not in names:
        raise UnknownQueue(f"There is no queue {topic!r}; there are {', '.join(names)}.")

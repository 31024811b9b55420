"""Queues of messages over Kafka and Redis, for the HTTP API: create, poll, acknowledge, follow."""

from __future__ import annotations

from labkit.api.messages.idempotency_keys import Begun, IdempotencyKeys, InFlight, Mismatch, Replay
from labkit.api.messages.journey import GroupJourney, Journey, Station
from labkit.api.messages.message import Delivery, Message
from labkit.api.messages.message_queues import MessageQueues
from labkit.api.messages.queue_names import queue_names

__all__ = [
    "Begun",
    "Delivery",
    "GroupJourney",
    "IdempotencyKeys",
    "InFlight",
    "Journey",
    "Message",
    "MessageQueues",
    "Mismatch",
    "Replay",
    "Station",
    "queue_names",
]

"""The sandbox: student code runs in it or not at all. `docs/sandbox.md` says what it keeps, and what it cannot."""

from labkit.grading.sandbox.bubblewrap import Bubblewrap
from labkit.grading.sandbox.container_engine import ContainerEngine
from labkit.grading.sandbox.contract import (
    Backend,
    Conversation,
    Ended,
    Ending,
    Late,
    Limits,
    Malformed,
    Reply,
    Said,
    TooLong,
)

__all__ = [
    "Backend",
    "Bubblewrap",
    "ContainerEngine",
    "Conversation",
    "Ended",
    "Ending",
    "Late",
    "Limits",
    "Malformed",
    "Reply",
    "Said",
    "TooLong",
]

"""A dispatcher that imports this dies when Celery's broker has the tasks, before it commits."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from labkit.celery_app.envelope import Envelope
from labkit.dispatch.celery_sender import CelerySender

_send = CelerySender.send


def send_and_die(self: CelerySender, envelopes: Sequence[Envelope]) -> None:
    _send(self, envelopes)
    os.kill(os.getpid(), signal.SIGKILL)


CelerySender.send = send_and_die  # type: ignore[method-assign]

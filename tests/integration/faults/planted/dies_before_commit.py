"""A dispatcher that imports this dies when Celery's broker has the tasks, before it commits."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from labkit.dispatch.envelope import Envelope
from labkit.dispatch.sender import Sender

_send = Sender.send


def send_and_die(self: Sender, envelopes: Sequence[Envelope]) -> None:
    _send(self, envelopes)
    os.kill(os.getpid(), signal.SIGKILL)


Sender.send = send_and_die  # type: ignore[method-assign]

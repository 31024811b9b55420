"""A connection of HTTP that is bounded: in how long a request may take to come and an answer to be read, and in number.

uvicorn bounds neither: a client that sends its request byte by byte, or nothing at all, would hold its place for ever.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from labkit.api.problems import Problem, later

#: How long the head of a request may take to come, from the connection or the last answer on, in seconds.
HEAD_TIMEOUT = 10.0
#: How long the body of a request may take to come, in seconds: 1 MB at 33 kB/s.
BODY_TIMEOUT = 30.0
#: How long a client may read nothing of its answer, in seconds.
READ_TIMEOUT = 30.0
#: How many connections one server has at most.
MOST_CONNECTIONS = 500
#: How many are accepted before the first of them is looked at; so many may be open beyond the limit.
ACCEPTED_AT_ONCE = 32


def connection_limit() -> int:
    """How many connections one server has at most: half of the files that this process may open are for others."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 2)


class BoundedConnection(H11Protocol):
    """uvicorn's connection with limits. Where a new one is one too many, that which has waited longest for a request
    gives way, since honest clients send theirs at once; if all have one in work, the new one is answered by 429.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: what is waited for: the state of the client in h11's words, and the request that it belongs to
        self._phase: tuple[Any, Any] | None = None
        self._since = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio calls it."""
        limit = connection_limit()
        if len(self.connections) >= limit and not self._make_room():
            self.app = _refusal(limit)
        super().connection_made(transport)
        # so that every byte that is not taken counts as not read
        transport.set_write_buffer_limits(high=0)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio calls it."""
        self._forget(self._due, self._unread)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """What has come, and after an answer what had come before."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """uvicorn calls it."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read; also called at the end."""
        super().resume_writing()
        self._forget(self._unread)

    @property
    def waits(self) -> bool:
        """Is it without a request whose head has come?"""
        return self.conn.their_state is h11.IDLE

    def _watch(self) -> None:
        """Have the time of what the client is to send run, from the moment on at which that began."""
        phase = self.conn.their_state, self.cycle
        if phase == self._phase:
            return
        self._phase, self._since = phase, self.loop.time()
        self._forget(self._due)
        if self.waits:
            self._due = self.loop.call_later(HEAD_TIMEOUT, self._give_up, HEAD_TIMEOUT)
        elif self.conn.their_state is h11.SEND_BODY:
            self._due = self.loop.call_later(BODY_TIMEOUT, self._give_up, BODY_TIMEOUT)

    def _make_room(self) -> bool:
        """End the connection that has waited longest for a request; whether there was one."""
        waiting = [one for one in self.connections if isinstance(one, BoundedConnection) and one.waits]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda one: one._since)
        oldest.transport.abort()
        self.connections.discard(oldest)  # its end is told in the next turn of the loop
        return True

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it for what is no request."""
        self._end_with(
            Problem(400, "This is no request of HTTP/1.1, or its head is longer than 64 KiB.", name="no-http")
        )

    def _give_up(self, waited: float) -> None:
        """The request has not come in time; who has begun one is told."""
        if self.waits and not self.conn.trailing_data[0]:
            self.transport.close()
        else:
            self._end_with(
                Problem(408, f"The request did not come within {waited:g} s. Send it anew.", name="too-slow")
            )

    def _end_with(self, problem: Problem) -> None:
        """Answer past the application, for which the client is gone, unless an answer has begun; and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            answer = problem.response()
            headers = [*answer.raw_headers, (b"connection", b"close")]
            begin = h11.Response(status_code=problem.status, headers=headers, reason=problem.title.encode())
            for event in (begin, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @staticmethod
    def _forget(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
            if timer is not None:
                timer.cancel()


def _refusal(limit: int) -> Any:
    """An application that answers every request by 429."""
    text = f"{limit} connections are open at this server already, all with requests in work. Close some."
    problem = later(429, text, name="connections")
    problem.headers["Connection"] = "close"
    return problem.response()

"""A client of the HTTP API, for notebooks and programs.

Every request that creates something has an Idempotency-Key, the same each time it is sent again. So it may be sent
again whenever its answer was lost, and still has one effect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from httpx_sse import connect_sse

from labkit.api.messages import Message
from labkit.api.models import DeliveryOut, JobEventOut, JobOut, JobPage, JourneyOut, OverviewOut
from labkit.errors import ApiRefused, ApiUnreachable
from labkit.jobs import JobStatus
from labkit.lab.loopback import is_loopback
from labkit.parameters import BadValue
from labkit.resource import Resource, end_all

#: How long a request that failed for a reason that passes is sent again, in seconds.
PATIENCE = 30.0
#: How long to wait before the next try, in seconds, where the server does not say.
PAUSE = 0.1
#: How long an answer may take beyond what was asked for, in seconds.
TIMEOUT = 30.0
#: Statuses that pass: in progress, full, unavailable.
PASSING = frozenset({429, 503})
#: The problem of a key whose first request is still in progress: it passes too.
IN_FLIGHT = "urn:labkit:key-in-flight"


class ApiClient(Resource):
    """Jobs and messages by HTTP. A context manager.

    `urls` are the addresses of one or several servers of the same lab; when one does not answer, the next is asked.
    What fails for a reason that passes (no connection, 429, 503, a first request still in progress) is tried again for
    `patience` seconds. Then, and for every other error, `ApiRefused` is raised, and `ApiUnreachable` where no server
    answers. Raises `BadValue` for what is no address. Not safe to use from several threads.
    """

    def __init__(
        self,
        *urls: str,
        token: str | None = None,
        patience: float = PATIENCE,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        _must_be_addresses(urls)
        self._clients = [
            httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, mounts=_past_proxies(url)) for url in urls
        ]
        self._turn = 0
        self._patience = patience
        self._pause = pause
        self._clock = clock

    def create(self, messages: Sequence[Message], *, key: str | None = None) -> list[UUID]:
        """Queue the messages, all or none; their ids in order. `key` is the Idempotency-Key, by default a new one."""
        body = [message.payload() for message in messages]
        answer = self._ask("POST", "/message/create", json=body, headers=_key(key))
        return [UUID(one) for one in answer.json()]

    def poll(
        self,
        topic: str | None = None,
        *,
        group: str = "api",
        wait: float = 0,
        ack: Literal["auto", "explicit"] = "auto",
    ) -> DeliveryOut | None:
        """The next message of this queue, or of any in turn, or None.

        With `ack="explicit"` it is leased until `ack` or `nack`.
        It is not sent again when the answer was lost: the message may be on its way to us, and a second one too.
        """
        params: dict[str, str | float] = {"group": group, "wait": wait, "ack": ack}
        if topic is not None:
            params["topic"] = topic
        answer = self._ask("GET", "/message/poll", params=params, timeout=TIMEOUT + wait, again=False)
        return None if answer.status_code == 204 else DeliveryOut.model_validate_json(answer.content)

    def ack(self, delivery: DeliveryOut) -> None:
        """The message is done."""
        self._ask("POST", f"/message/{delivery.id}/ack", json={"lease": delivery.lease})

    def nack(self, delivery: DeliveryOut) -> None:
        """The message is not done, and is delivered again."""
        self._ask("POST", f"/message/{delivery.id}/nack", json={"lease": delivery.lease})

    def journey(self, message_id: UUID) -> JourneyOut:
        """Where the message is."""
        return JourneyOut.model_validate_json(self._ask("GET", f"/message/{message_id}").content)

    def create_job(self, job_id: int | None = None, *, key: str | None = None) -> JobOut:
        """A new job; without an id, one is drawn. A job of an id that is known stays as it is."""
        body = {} if job_id is None else {"job_id": job_id}
        return JobOut.model_validate_json(self._ask("POST", "/jobs", json=body, headers=_key(key)).content)

    def job(self, job_id: int, *, version: int | None = None, wait: float = 5) -> JobOut:
        """The job; with a version, as soon as it has come to that one, for `wait` seconds at most."""
        params: dict[str, str | float] = {} if version is None else {"version": version, "wait": wait}
        answer = self._ask("GET", f"/jobs/{job_id}", params=params, timeout=TIMEOUT + wait)
        return JobOut.model_validate_json(answer.content)

    def job_events(self, job_id: int) -> list[JobEventOut]:
        """All changes of the job, in order."""
        return [JobEventOut.model_validate(one) for one in self._ask("GET", f"/jobs/{job_id}/events").json()]

    def jobs(self, status: JobStatus | None = None, *, page: int = 500) -> Iterator[JobOut]:
        """All jobs (of this status) in the order of their ids, read `page` at a time."""
        after: int | None = 0
        while after is not None:
            params: dict[str, str | float] = {"limit": page, "after": after}
            if status is not None:
                params["status"] = status
            found = JobPage.model_validate_json(self._ask("GET", "/jobs", params=params).content)
            yield from found.jobs
            after = found.next

    def watch_jobs(self, seconds: float, *, since: int | None = None) -> Iterator[JobOut]:
        """Jobs as they change, for so many seconds; `since` 0 begins with all that there are."""
        params: dict[str, str | float] = {"seconds": seconds}
        if since is not None:
            params["since"] = since
        client = self._clients[self._turn]
        try:
            with connect_sse(client, "GET", "/jobs/stream", params=params, timeout=TIMEOUT) as source:
                if source.response.status_code != 200:
                    source.response.read()
                    raise _refused(source.response)
                for event in source.iter_sse():
                    if event.event == "job":
                        yield JobOut.model_validate_json(event.data)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def overview(self) -> OverviewOut:
        """The queues and how many jobs are in each state."""
        return OverviewOut.model_validate_json(self._ask("GET", "/overview").content)

    def close(self) -> None:
        """Let go of the connections."""
        end_all(*(client.close for client in self._clients))

    def _ask(self, method: str, path: str, *, again: bool = True, **request: Any) -> httpx.Response:
        """The answer, once it is no error; tried again while that may help."""
        deadline = self._clock() + self._patience
        while True:
            try:
                answer = self._clients[self._turn].request(method, path, **request)
            except httpx.TransportError as error:
                self._turn = (self._turn + 1) % len(self._clients)
                never_arrived = isinstance(error, httpx.ConnectError)
                if self._clock() >= deadline or not (again or never_arrived):
                    raise self._unreachable(error) from error
                self._pause(PAUSE)
                continue
            if answer.is_success:
                return answer
            seconds = _seconds_to_wait(answer)
            if seconds is None or self._clock() + seconds > deadline:
                raise _refused(answer)
            self._pause(seconds)

    def _unreachable(self, error: httpx.TransportError) -> ApiUnreachable:
        urls = ", ".join(str(client.base_url) for client in self._clients)
        return ApiUnreachable(
            f"The API at {urls} does not answer ({type(error).__name__}). Is `labkit api` running, and is this the "
            "address that it printed?"
        )


def new_message(
    topic: str, title: str, body: str = "", *, author: UUID, clock: Callable[[], float] = time.time
) -> Message:
    """A message of this moment."""
    moment = datetime.fromtimestamp(clock(), UTC)
    return Message(timestamp=moment, title=title, body=body, author=author, topic=topic)


def _must_be_addresses(urls: Sequence[str]) -> None:
    if not urls or not all(map(_is_address, urls)):
        given = ", ".join(map(repr, urls)) or "nothing"
        raise BadValue(f"'urls' of ApiClient: {given}; give the address that `labkit api` prints, as http://host:port.")


def _is_address(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _key(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": f'"{key or uuid4()}"'}


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = json.loads(answer.content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _seconds_to_wait(answer: httpx.Response) -> float | None:
    """How long to wait before the same request is sent again; None if that would not help."""
    if answer.status_code not in PASSING and _problem(answer).get("type") != IN_FLIGHT:
        return None
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else PAUSE


def _refused(answer: httpx.Response) -> ApiRefused:
    problem = _problem(answer)
    return ApiRefused(
        str(problem.get("detail", answer.reason_phrase)), status=answer.status_code, type=str(problem.get("type", ""))
    )


def _past_proxies(url: str) -> dict[str, None] | None:
    """For httpx: no proxy for this server if it runs on this machine, whatever the environment says."""
    host = httpx.URL(url).host
    return {f"all://{f'[{host}]' if ':' in host else host}": None} if is_loopback(url) else None

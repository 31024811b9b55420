"""The routes of the jobs: create, list, follow."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from labkit.api.idempotency_route import HEADER, IdempotentRoute, key_of
from labkit.api.message_routes import IdempotencyKey
from labkit.api.models import JobEventOut, JobIn, JobOut, JobPage
from labkit.api.openapi import problems
from labkit.api.problems import Problem, later
from labkit.api.services import OfServer, Services
from labkit.api.streams import LONGEST, OfStream, Seconds, changes
from labkit.errors import DeadlineExceeded
from labkit.jobs import MAX_JOB_ID, Job, JobStatus

#: The most jobs on one page.
LONGEST_PAGE = 1_000
#: The longest wait for a version, in seconds.
LONGEST_WAIT = 30.0
#: How long it is waited for one at a time, in seconds; in between it is seen that the server is to end.
PIECE = 1.0
#: Versions and numbers of changes fit into 64 bits.
LARGEST = 2**63 - 1

JobId = Annotated[int, Path(ge=1, le=MAX_JOB_ID, json_schema_extra={"example": 1234})]

job_creation = APIRouter(tags=["jobs"], route_class=IdempotentRoute)
jobs = APIRouter(tags=["jobs"])


@job_creation.post(
    "/jobs",
    status_code=201,
    responses={200: {"model": JobOut, "description": "There is such a job already"}, **problems(409, 415)},
    summary="Create a job",
)
async def create_job(
    job: JobIn, services: OfServer, request: Request, response: Response, _key: IdempotencyKey = None
) -> JobOut:
    """A new job, when Kafka has acknowledged it. A job of an id that is known stays as it is, and the answer is 200."""
    job_id = job.job_id or _id_of_key(request)
    found = None if job_id is None else await services.job_threads.ask(services.view.get, job_id)
    if found is None:
        found = await asyncio.to_thread(services.jobs.create, job_id)
    else:
        response.status_code = 200
    response.headers["Location"] = f"/jobs/{found.job_id}"
    return JobOut.of(found)


@jobs.get("/jobs", responses=problems(), summary="List jobs")
async def list_jobs(
    services: OfServer,
    status: Annotated[JobStatus | None, Query(description="only jobs of this status")] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_JOB_ID, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 50,
) -> JobPage:
    """Jobs in the order of their ids, page by page."""
    # one more than asked for, to know whether there is a further page
    found = await services.job_threads.ask(services.view.list, status, after, limit + 1)
    page = found[:limit]
    return JobPage(jobs=[JobOut.of(job) for job in page], next=page[-1].job_id if len(found) > limit else None)


@jobs.get("/jobs/stream", responses=problems(429), response_class=EventSourceResponse, summary="Changes of jobs, live")
async def stream_jobs(
    live: OfStream,
    services: OfServer,
    seconds: Seconds = LONGEST,
    since: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="begin after this change; 0 with every job; else with the next")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,18}$", description="as `since`, sent by a browser that connects again")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events "job": each a job as it is after a change, with the number of the change as its id."""
    cursor = since if last_event_id is None else int(last_event_id)
    async for event in changes(services, live, seconds, cursor):
        yield event


@jobs.get("/jobs/{job_id}", responses=problems(409), summary="One job")
async def get_job(
    job_id: JobId,
    services: OfServer,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="wait until the job has come to this version")
    ] = None,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="for so many seconds at most")] = 5,
) -> JobOut:
    """The job. With the `version` from your own write you see that write: 409 if it is not there in time."""
    job = await _job(services, job_id) if version is None else await _job_of_version(services, job_id, version, wait)
    return JobOut.of(job)


@jobs.get("/jobs/{job_id}/events", responses=problems(), summary="The life of a job")
async def get_events(job_id: JobId, services: OfServer) -> list[JobEventOut]:
    """All changes of the job that were read, in order."""
    await _job(services, job_id)
    return [JobEventOut.of(event) for event in await services.job_threads.ask(services.view.events, job_id)]


async def _job(services: Services, job_id: int) -> Job:
    job = await services.job_threads.ask(services.view.get, job_id)
    if job is None:
        raise Problem(404, f"There is no job {job_id}, or it was not read yet.", name="unknown-job")
    return job


async def _job_of_version(services: Services, job_id: int, version: int, wait: float) -> Job:
    left = wait
    while True:
        piece = min(left, PIECE)
        try:
            return await services.job_threads.ask(services.view.wait_for, job_id, version, piece)
        except DeadlineExceeded as error:
            left -= piece
            if left > 0 and not services.closing:
                continue
            await _job(services, job_id)
            raise later(
                409, f"Job {job_id} has not come to version {version} within {wait:g} s.", name="not-there-yet"
            ) from error


def _id_of_key(request: Request) -> int | None:
    """With a key, the id is drawn from it: so a request that is repeated after a crash makes the same job."""
    key = key_of(request.headers.getlist(HEADER), required=False)
    if key is None:
        return None
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % MAX_JOB_ID + 1

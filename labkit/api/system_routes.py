"""The routes about the server itself: the page, health, the overview.

The page at `/` is one file, served as it is, under a policy that lets it run nothing but its own script.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from labkit.api.models import Health, OverviewOut
from labkit.api.openapi import open_problems, problems
from labkit.api.problems import later
from labkit.api.services import OfServer
from labkit.api.streams import LONGEST, OfStream, Seconds, overviews
from labkit.errors import LabkitError

PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")


def _hashes(tag: str) -> str:
    blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


#: The Content-Security-Policy: the script and the style of the file by their hashes, requests to this server only.
POLICY = (
    f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: How long each of the servers may take to answer before this one does not count as ready, in seconds.
READY_TIMEOUT = 2.0

system = APIRouter(tags=["system"])


@system.get("/", response_class=HTMLResponse, responses=open_problems(), summary="The page")
async def page() -> HTMLResponse:
    """A page that shows the queues and the jobs live, and lets you create and poll."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@system.get("/health/live", responses=open_problems(), summary="Is the server alive?")
async def live() -> Health:
    """It answers."""
    return Health(status="alive")


@system.get("/health/ready", responses=open_problems(503), summary="Can it work?")
async def ready(services: OfServer) -> Health:
    """Kafka, Redis and the store answer, or 503."""
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            await services.queues.lags()
            await services.job_threads.ask(services.view.last_change)
    except (LabkitError, TimeoutError) as error:
        raise later(503, f"Not ready: {error or 'no answer in time'}", name="not-ready") from error
    return Health(status="ready")


@system.get("/overview", responses=problems(), summary="The queues and the jobs")
async def get_overview(services: OfServer) -> OverviewOut:
    """How much of each queue is not finished, and how many jobs are in each state."""
    return await services.overview()


@system.get(
    "/overview/stream", responses=problems(429), response_class=EventSourceResponse, summary="The overview, live"
)
async def stream_overview(
    live: OfStream, services: OfServer, seconds: Seconds = LONGEST
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events "overview", one whenever it has changed."""
    async for event in overviews(services, live, seconds):
        yield event

"""What the routes work with: the queues, the keys, the jobs and their view, opened and closed together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated, Self

from fastapi import Depends, Request

from labkit.api.job_threads import JobThreads
from labkit.api.live_overview import LiveOverview
from labkit.api.messages import IdempotencyKeys, MessageQueues, queue_names
from labkit.api.messages.daemon_thread import on_daemon_thread
from labkit.api.messages.queue_turns import QueueTurns
from labkit.api.models import OverviewOut, QueueOut
from labkit.api.queue_admission import QueueAdmission
from labkit.jobs import Jobs, JobView, jobs_topic, open_view
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue import connect


class Services:
    """Everything behind the routes, of one server. An async context manager."""

    queues: MessageQueues
    any_queue: QueueTurns
    keys: IdempotencyKeys
    admission: QueueAdmission
    jobs: Jobs
    view: JobView

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self.settings = settings
        self.names = queue_names(settings)
        #: is the server to end?
        self.closing = False
        self.job_threads = JobThreads()
        self.live = LiveOverview(self.overview)
        self._lab = lab
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await self._open_jobs(opened)
            await self._open_messages(opened)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    def end_waits(self) -> None:
        """The server is to end: streams, long polls and waits for versions end now."""
        self.closing = True
        self.live.end()
        self.queues.end_polls()

    async def overview(self) -> OverviewOut:
        """The queues and the jobs at this moment."""
        lags, limit = self.admission.lags, self.settings.api_max_lag
        queues = [QueueOut(name=name, unfinished=lags[name], limit=limit) for name in self.names]
        changes, counts = await self.job_threads.ask(lambda: (self.view.last_change(), self.view.counts()))
        return OverviewOut(queues=queues, jobs=counts, changes=changes)

    async def _open_jobs(self, opened: AsyncExitStack) -> None:
        threaded = ExitStack()
        opened.push_async_callback(on_daemon_thread, threaded.close)
        await asyncio.to_thread(self._connect_jobs, threaded)

    def _connect_jobs(self, opened: ExitStack) -> None:
        topics = opened.enter_context(
            connect(self._lab, transport=self.settings.transport, prefix=self.settings.topic_prefix)
        )
        topic = jobs_topic(topics)
        self.jobs = opened.enter_context(Jobs(topic, settings=self.settings))
        self.view = opened.enter_context(open_view(topic, self._lab, settings=self.settings))
        self.view.follow()

    async def _open_messages(self, opened: AsyncExitStack) -> None:
        self.queues = MessageQueues(self._lab, self.settings)
        opened.push_async_callback(self.queues.aclose)
        await self.queues.start()
        self.any_queue = QueueTurns(self.queues)
        self.keys = IdempotencyKeys(self._lab, self.settings)
        opened.push_async_callback(self.keys.aclose)
        self.admission = QueueAdmission(self.queues.backlogs, self.names, self.settings.api_max_lag)
        opened.push_async_callback(self.admission.aclose)
        await self.admission.start()


async def _of_request(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


#: The services as a parameter of a route.
OfServer = Annotated[Services, Depends(_of_request)]

"""What the routes work with: the queues, the keys, the jobs and their view, opened and closed together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated, Self

from fastapi import Depends, Request

from labkit.api.messages import IdempotencyKeys, MessageQueues, queue_names
from labkit.api.messages.daemon_thread import on_daemon_thread
from labkit.api.messages.queue_turns import QueueTurns
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
        #: set when the server is to end: streams end then
        self.closing = asyncio.Event()
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

    async def _open_jobs(self, opened: AsyncExitStack) -> None:
        threaded = ExitStack()
        opened.push_async_callback(on_daemon_thread, threaded.close)
        await asyncio.to_thread(self._connect_jobs, threaded)

    def _connect_jobs(self, opened: ExitStack) -> None:
        topics = opened.enter_context(connect(self._lab, transport=self.settings.transport))
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

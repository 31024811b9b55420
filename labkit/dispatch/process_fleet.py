"""Celery's workers and dispatchers as processes, which can be killed and frozen: both their sides."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from labkit.celery_app.application import broker_url
from labkit.celery_app.capacity import connect, running_workers
from labkit.celery_app.celery_worker import Pool
from labkit.dispatch.dispatcher import group_of
from labkit.dispatch.factory import BRIDGE, BRIDGE_GROUP, DISPATCHER_GROUP, class_topic, new_name
from labkit.dispatch.session_options import (
    DEFAULT_POLICY,
    DEFAULT_POOL,
    concurrency_of,
    limit_of,
    must_have_one_source,
    prefetch_of,
)
from labkit.lab import Lab
from labkit.logs import configure
from labkit.parameters import check_methods
from labkit.policies import PriorityClass, make_policy
from labkit.process.parent_channel import ParentChannel
from labkit.settings import Settings, load_settings
from labkit.taskqueue.lab_process import LabProcess
from labkit.taskqueue.topics import Topics

#: How often a dispatcher looks whether it can still go on, in seconds.
LOOK_INTERVAL = 0.1


class _DispatchProcess(LabProcess):
    module = __name__
    handed_on = (
        "celery_broker_url",
        "celery_imports",
        "celery_namespace",
        "celery_results",
        "celery_visibility_timeout",
        "session_timeout",
        "topic_prefix",
    )


@check_methods
class CeleryWorker(_DispatchProcess):
    """A Celery worker in a process of its own, which performs `concurrency` tasks at once, 2 if not given.

    Prefork is Celery's own default; threads start at once, and suit tasks that wait. `prefetch` is how many tasks are
    taken per task at once, those that run included; Celery's own default is 4, with which urgent tasks wait behind
    others. Raises `SettingsError` for numbers that cannot be.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        pool: Pool = DEFAULT_POOL,
        concurrency: int | None = None,
        prefetch: int = 1,
        name: str | None = None,
        log_dir: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        at_once = {"concurrency": concurrency_of(pool, concurrency), "prefetch": prefetch_of(prefetch)}
        job = {"role": "celery", "pool": pool, **at_once}
        super().__init__(lab, name or new_name("celery"), job, settings, log_dir)
        self._settings = settings
        self._client = connect(broker_url(settings, lab))

    def _is_ready(self) -> bool:
        return self.name in running_workers(self._client, self._settings)


@check_methods
class DispatcherProcess(_DispatchProcess):
    """A dispatcher, or with a `topic` a bridge, in a process of its own, which can be killed.

    Raises `SettingsError` for an option that does nothing beside the others.
    """

    def __init__(
        self,
        lab: Lab,
        topics: Topics,
        classes: Sequence[PriorityClass] = (),
        policy: str | None = None,
        options: Mapping[str, float] | None = None,
        *,
        topic: str | None = None,
        limit: int | None = None,
        name: str | None = None,
        log_dir: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        must_have_one_source(classes, topic, policy=policy, options=options, limit=limit)
        make_policy(policy or DEFAULT_POLICY, **(options or {}))  # what is wrong with it is said before anything starts
        settings = settings or load_settings()
        name = name or new_name("dispatcher")
        job = {
            "role": "dispatcher",
            "topic": topic,
            "own": topics.own(),
            "classes": to_builtins(list(classes)),
            "policy": policy or DEFAULT_POLICY,
            "options": dict(options or {}),
            "limit": limit_of(limit, settings),
        }
        super().__init__(lab, name, job, settings, log_dir)
        self._topics = topics
        self._groups = (
            {group_of(BRIDGE_GROUP, BRIDGE): topic}
            if topic
            else {group_of(DISPATCHER_GROUP, one.name): class_topic(one.name) for one in classes}
        )

    def _is_ready(self) -> bool:
        return all(
            any(
                member.startswith(f"{self.name}.") and places
                for member, places in self._topics.members(group, topic=topic).items()
            )
            for group, topic in self._groups.items()
        )


def main(parent: ParentChannel) -> None:
    """Do the job until the order to stop; then finish what is begun."""
    # Celery keeps its errors from the handler of last resort
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    job = parent.job()
    {"celery": _work, "dispatcher": _dispatch}[job["role"]](job, parent)


def _work(job: dict[str, Any], parent: ParentChannel) -> None:
    from labkit.celery_app.celery_worker import run_worker, worker_app

    settings = load_settings()
    if job["log_dir"] is not None:
        configure("celery", settings, Path(job["log_dir"]))
    app = worker_app(settings)
    # Celery's own way to end in order; until it has its handlers, there is nothing to finish
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parent.listen(on_stop=lambda: os.kill(os.getpid(), signal.SIGTERM))
    options = {name: job[name] for name in ("pool", "concurrency", "prefetch", "name")}
    sys.exit(run_worker(app, **options))


def _dispatch(job: dict[str, Any], parent: ParentChannel) -> None:
    from labkit.dispatch.factory import dispatcher_of_job

    settings = load_settings()
    if job["log_dir"] is not None:
        configure("dispatcher", settings, Path(job["log_dir"]))
    stop = threading.Event()
    parent.listen(on_stop=stop.set)
    with dispatcher_of_job(job, settings) as dispatcher:
        while not stop.wait(LOOK_INTERVAL):
            dispatcher.check()

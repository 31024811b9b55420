"""Submissions are graded for somebody else at a terminal, until Ctrl-C: `labkit grade worker`."""

from __future__ import annotations

import os
import socket
from functools import partial

from labkit.celery_app.celery_overrides import is_terminated
from labkit.celery_app.celery_status import reachable_broker
from labkit.celery_app.celery_worker import run_worker
from labkit.dispatch.factory import new_name
from labkit.errors import LabNotRunning, WorkerFailed
from labkit.grading.remote.file_store import FileStore
from labkit.grading.remote.grader_version import grader_version
from labkit.grading.remote.grading_queue import GradingQueue
from labkit.grading.remote.grading_worker import equip_worker
from labkit.grading.sandbox.backend_choice import working_backend
from labkit.process.signals import INTERRUPTED
from labkit.settings import load_settings
from labkit.temporary_folder import passing_folder


def shared_files(address: str) -> tuple[FileStore, GradingQueue]:
    """The shared folder at this address, and its queue in Celery's Redis, which answers.

    Raises `SettingsError`, `FilesUnavailable`, `RedisUnreachable` and `LabNotRunning`.
    """
    settings, files = load_settings(), FileStore(address)
    try:
        url = reachable_broker(settings)
    except LabNotRunning as error:
        raise LabNotRunning(
            f"{error} If others are to reach it, too, name a Redis of your own: LABKIT_CELERY_BROKER_URL."
        ) from error
    return files, GradingQueue(url, settings, address=files.address, version=grader_version())


def grade_for_others(address: str, *, concurrency: int) -> None:
    """Grade so many at once of what is sent with the files at this address, until Ctrl-C; then finish these.

    Raises `SandboxUnavailable`, what `shared_files` raises, and `WorkerFailed`.
    """
    sandbox = working_backend(load_settings().sandbox)
    files, queue = shared_files(address)
    name = new_name(socket.gethostname().partition(".")[0])
    with passing_folder("grading") as folder:
        equip_worker(queue, partial(FileStore, address), sandbox, folder)
        status = run_worker(
            queue.app,
            pool="prefork",
            concurrency=concurrency,
            name=name,
            on_ready=lambda: print(
                f"{name} is ready: {concurrency} at once, with the files at {files.name}. Ctrl-C ends it.", flush=True
            ),
            on_ending=lambda taken: print(
                f"{name} ends when what it has begun is graded ({taken}); Ctrl-C again gives it back to the others.",
                flush=True,
            ),
        )
    if is_terminated():
        print(f"{name} gave back what it had not graded.", flush=True)
        os._exit(INTERRUPTED)  # no thread that still has something holds it up
    if status != 0:
        raise WorkerFailed(f"{name} could not go on; celery.log in the folder of logs says why.")
    print(f"{name} has ended.", flush=True)

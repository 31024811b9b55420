"""One worker in a process of its own: both its sides, and what they say to each other."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.json import decode

from labkit.errors import Unsupported
from labkit.lab.connection import Connection
from labkit.logs import configure
from labkit.measure.task_record import DONE, NO_ATTEMPTS, TaskRecord, printable
from labkit.process.child_process import STOP_TIMEOUT, ChildProcess
from labkit.process.output_lines import printed_outputs
from labkit.process.output_log import OUTPUT_FILE, OutputLog, output_folder, use_output_folder
from labkit.process.parent_channel import ParentChannel
from labkit.process.signals import on_signals
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.worker_group.base_worker import BaseWorker, RunningTask, WorkerStatus
from labkit.taskqueue.worker_group.members import worker_class
from labkit.typed_values import json_decoder, typed

#: How long a thread may run before another gets its turn, in seconds. With Python's 5 ms, a thread that parses what
#: was fetched would keep handlers waiting longer than many of them work.
SWITCH_INTERVAL = 0.000_1


class RunningTasks(Struct, frozen=True):
    """The answer to the order of this number: what the worker works on."""

    order: int
    tasks: list[RunningTask]


class WorkerReport(Struct, frozen=True, omit_defaults=True):
    """What a worker's process reports: one of these."""

    record: TaskRecord | None = None
    assigned: tuple[int, ...] | None = None
    running: RunningTasks | None = None


class ProcessMember:
    """The group's side: a member that is a process, and ends when this process does.

    With `log_dir` it logs there, in a folder of its name, by the worker's `logging_config.json`.
    """

    def __init__(
        self, job: Mapping[str, Any], *, on_record: Callable[[TaskRecord], object], log_dir: Path | None = None
    ) -> None:
        self.name = str(job["name"])
        self._on_record = on_record
        self._partitions: tuple[int, ...] = ()
        self._done = self._failed = 0
        self._orders = 0
        self._running: RunningTasks | None = None
        self._answered = threading.Condition()
        self._read = json_decoder(WorkerReport).decode
        folder = (log_dir or output_folder()).absolute() / self.name  # a handler may change the working directory
        self._child = ChildProcess(
            self.name,
            __name__,
            {**job, "outputs": str(folder), "log_dir": None if log_dir is None else str(folder)},
            hear=self._hear,
            on_end=self._wake,
            output=OutputLog(self.name, folder / OUTPUT_FILE),
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def start(self) -> None:
        """Start the process and hand it its job."""
        self._child.start()

    def status(self) -> WorkerStatus:
        """What the worker has reported so far."""
        return WorkerStatus(
            name=self.name,
            partitions=self._partitions,
            done=self._done,
            failed=self._failed,
            running=self._child.alive(),
        )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive()

    def running(self, timeout: float) -> list[RunningTask] | None:
        """What it works on now, the longest first; None if it does not answer within `timeout` seconds.

        The answer comes after all reports before it. Raises `WorkerFailed` if the process has ended.
        """
        with self._answered:
            self._orders += 1
            number = self._orders
        self._child.tell(number, patience=timeout)
        with self._answered:
            self._answered.wait_for(lambda: self._has_answered(number) or not self._child.alive(), timeout)
            return self._running.tasks if self._running is not None and self._has_answered(number) else None

    def ask_to_stop(self) -> None:
        """Finish the tasks in hand, commit and leave."""
        self._child.ask_to_stop()

    def join(self, timeout: float = STOP_TIMEOUT) -> None:
        """Return when the process has ended and everything it reported is known here; raises `WorkerFailed`."""
        self._child.join(timeout)

    def kill(self) -> None:
        """SIGKILL: the process ends in the middle of what it does, commits nothing and does not leave."""
        self._child.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send this signal to the process."""
        self._child.signal(number)

    def output(self) -> str:
        """What the process has written to its standard output and error: the newest of it."""
        return self._child.output.text()

    def _has_answered(self, number: int) -> bool:
        return self._running is not None and self._running.order >= number

    def _hear(self, line: bytes) -> None:
        report = self._read(line)
        if report.record is not None:
            self._done += report.record.outcome == DONE
            self._failed += report.record.outcome not in (DONE, *NO_ATTEMPTS)
            self._on_record(report.record)
        elif report.assigned is not None:
            self._partitions = report.assigned
        else:
            self._running = report.running
            self._wake()

    def _wake(self) -> None:
        with self._answered:
            self._answered.notify_all()


def worker_job(topic: Topic, *, name: str, member: str, group: str, work: Work, config: WorkerConfig) -> dict[str, Any]:
    """What the process is to do, as JSON values; `member` is the worker's name in its group.

    Raises `Unsupported` if the topic can only be reached from here, and `HandlerNotFound` if the handler can.
    """
    transport = topic.transport
    if transport.connection is None:
        raise Unsupported(f"The transport {transport.name!r} lives in this process; its workers must be threads.")
    connection = asdict(transport.connection)
    return {
        "name": name,
        "member": member,
        "connection": {key: str(value) if isinstance(value, Path) else value for key, value in connection.items()},
        "transport": transport.name,
        "topic": topic.name,
        "partitions": topic.partitions,
        "prefix": topic.prefix,
        "group": group,
        "work": work.describe(),
        "config": to_builtins(config),
    }


def main(parent: ParentChannel) -> None:
    """The process's side: work until the order to stop."""
    job = parent.job()
    use_output_folder(Path(job["outputs"]))
    if job["log_dir"] is not None:
        from labkit.settings import load_settings

        configure("worker", load_settings(), Path(job["log_dir"]))
    worker = _worker(job, parent)

    def answer(order: bytes) -> None:
        parent.report(WorkerReport(running=RunningTasks(order=decode(order), tasks=worker.running())))

    sys.setswitchinterval(SWITCH_INTERVAL)
    parent.listen(on_stop=worker.stop, on_order=answer)
    with on_signals((signal.SIGTERM,), lambda _: worker.stop()), printed_outputs():
        worker.run()


def _worker(job: dict[str, Any], parent: ParentChannel) -> BaseWorker:
    transport = connect_transport(_connection_from_job(job["connection"]), job["transport"])
    config = typed(job["config"], WorkerConfig)
    return worker_class(config.mode)(
        Topic(
            name=job["topic"],
            partitions=job["partitions"],
            transport=transport,
            prefix=job["prefix"],
        ),
        name=job["name"],
        group=job["group"],
        member=job["member"],
        work=Work.of(job["work"]),
        config=config,
        on_record=lambda record: _report(record, parent),
        on_assignment=lambda partitions: parent.report(WorkerReport(assigned=partitions)),
    )


def _report(record: TaskRecord, parent: ParentChannel) -> None:
    try:
        parent.report(WorkerReport(record=record))
    except UnicodeEncodeError:
        parent.report(WorkerReport(record=printable(record)))


def _connection_from_job(job: dict[str, Any]) -> Connection:
    paths = {key: Path(value) for key, value in job.items() if key.endswith("_file") and value is not None}
    return Connection(**{**job, **paths})

"""A group of workers that share the partitions of a topic round robin."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from labkit.errors import WorkerFailed
from labkit.measure.task_record import TaskRecord
from labkit.process.child_process import STOP_TIMEOUT
from labkit.process.signals import held_back
from labkit.resource import Resource
from labkit.settings import Settings, load_settings
from labkit.taskqueue.engine.failure import FailureCounter, shielded
from labkit.taskqueue.engine.worker_config import ExecutorName, Handler, Mode, Order, Retry
from labkit.taskqueue.groups.group_kind import must_be_joinable
from labkit.taskqueue.groups.group_state import ConsumerGroupState, DoneBefore, GroupState
from labkit.taskqueue.groups.share_group_state import ShareGroupState
from labkit.taskqueue.record_format import ForeignRecords
from labkit.taskqueue.service_time import ServiceTime
from labkit.taskqueue.timeouts import wait_until_there
from labkit.taskqueue.topics import PartitionLag, Topic
from labkit.taskqueue.worker_group.base_worker import WorkerStatus
from labkit.taskqueue.worker_group.done_elsewhere import has_records, must_be_all
from labkit.taskqueue.worker_group.drain import ANSWER_TIMEOUT, Drain, shares, wait_for_count
from labkit.taskqueue.worker_group.group_options import GroupOptions
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.group_records import GroupRecords, default_target
from labkit.taskqueue.worker_group.members import Member, ThreadMember, stop_members, worker_class
from labkit.taskqueue.worker_group.membership import Membership
from labkit.taskqueue.worker_group.worker_process import ProcessMember, worker_job

if TYPE_CHECKING:
    import pandas as pd

#: How long the workers may take to share the partitions among them, in seconds.
JOIN_TIMEOUT = 30.0


class WorkerGroup(Resource, checked=True):
    """Workers in one group. A context manager: joined inside, left after.

    The work is `handler(task)`; a service time (`labkit.uniform` and its like) is a handler that sleeps. Without one,
    tasks count as done as they come, and what others than labkit have written is not worked on; with one, a record that
    holds JSON is a task whoever has written it.
    Each worker does up to `concurrency` tasks at once, as far as the `order` lets it ("partition", "key" or "none"),
    in threads, on an asyncio loop (for a handler that is an `async def`) or in processes of its own (`executor`).
    What `timeout` and `retry` mean is told by `labkit.taskqueue.engine.worker_config.WorkerConfig`.
    In `mode` "share" it is a share group (KIP-932): any worker may get any task, which is locked for it, and
    `assignment` is empty. See docs/share_groups.md.
    What is seldom needed stands in `membership` and `output`.
    Records go to disk as they come. Until the end, and if this process is killed, they are in the folder of the file's
    name with `.parts`, which `read_records` reads too. What a killed run has left there stays, apart from the records
    of later ones. Where another program has written the file meanwhile, it is left alone, and `target` names another
    one beside it.
    More workers, also on other machines, may join the same group by its name.

    Raises `SettingsError` for what cannot be or does nothing, and `RecordsUnwritable`.
    """

    _foreign: ForeignRecords = "json"

    def __init__(
        self,
        topic: Topic,
        *,
        group: str = "worker_group",
        workers: int = 1,
        handler: Handler | ServiceTime | None = None,
        mode: Mode = "group",
        order: Order | None = None,
        concurrency: int = 1,
        executor: ExecutorName | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        membership: Membership | None = None,
        output: Output | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.topic, self.group, self.mode = topic, group, mode
        self._settings = settings or load_settings()
        membership, output = membership or Membership(), output or Output()
        options = GroupOptions(
            handler=handler,
            mode=mode,
            order=order,
            concurrency=concurrency,
            executor=executor,
            timeout=timeout,
            retry=retry,
            membership=membership,
            output=output,
        )
        self._work, self._config = options.work(), options.config(self._settings, self._foreign)
        self._processes, self._name, self._clock = membership.processes, membership.name, output.clock
        self._records = GroupRecords(
            output.records or default_target(self._settings.records_dir, topic.name, group, self._clock())
        )
        self._on_record = None if output.on_record is None else shielded(output.on_record, "on_record")
        self._told = FailureCounter()
        self._token = uuid4().hex[:6]
        self._log_dir = None if output.log_dir is None else output.log_dir.absolute()
        self._standing: GroupState = (
            ShareGroupState(topic, group, self._has_done) if mode == "share" else ConsumerGroupState(topic, group)
        )
        self._members: dict[str, Member] = {}
        self._numbers = count(1)
        self._killed: set[str] = set()
        self._initial = workers
        self._before: DoneBefore | None = None

    def start(self) -> Self:
        """Start the workers and return when they have shared out all partitions.

        Raises `DeadTopicRefused` if the topic cannot have dead letters, `OtherGroupKind` if the name is another kind's.
        """
        must_be_joinable(self.topic, self.group, self.mode)
        self._before = self._standing.done()
        for _ in range(self._initial):
            self.begin_to_add()
        self.wait_until_balanced()
        return self

    def add(self) -> str:
        """One more worker joins; returns its name when the partitions are shared out again."""
        name = self.begin_to_add()
        self.wait_until_balanced()
        return name

    def begin_to_add(self) -> str:
        """As `add`, but returns at once, while the worker is on its way."""
        name = f"{self._name}-{next(self._numbers)}"
        member = self._members[name] = self._new_member(name)
        try:
            member.start()
        except Exception:
            del self._members[name]
            raise
        return name

    def stop_worker(self, name: str) -> None:
        """This worker finishes its task, commits and leaves; returns when the others have its partitions."""
        self.let_go(name)
        self.wait_until_balanced()

    def let_go(self, name: str) -> None:
        """This worker finishes its tasks in hand, commits and leaves; returns when it has."""
        failures = stop_members([self._members.pop(name)], STOP_TIMEOUT)
        if failures:
            raise failures[0]

    def kill(self, name: str) -> None:
        """SIGKILL this worker's process, unless it is dead already, and forget it.

        Its partitions are taken over when its session has timed out.
        """
        self._members[name].kill()
        self._members.pop(name)
        self._killed.add(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP this worker's process: it does nothing, and knows nothing of it, until `thaw`."""
        self._members[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT: a frozen worker goes on, perhaps with tasks that others have taken over."""
        self._members[name].signal(signal.SIGCONT)

    def wait_until_balanced(self, *, timeout: float = JOIN_TIMEOUT) -> None:
        """Return when the partitions are dealt out round robin to the living workers; raises `DeadlineExceeded`."""
        what = f"the workers of {self.group!r} were to share out the partitions"
        wait_until_there(self._balanced, timeout=timeout, what=what, told=lambda: shares(self.assignment()))

    def wait_for_progress(self, name: str, *, tasks: int, timeout: float = JOIN_TIMEOUT) -> None:
        """Return when this worker has worked on so many tasks; raises `DeadlineExceeded`."""
        wait_for_count(partial(self._settled, name), tasks, timeout=timeout, who=name)

    def status(self) -> list[WorkerStatus]:
        """What each worker is doing now."""
        return [member.status() for member in self._members.values()]

    def assignment(self) -> dict[str, tuple[int, ...]]:
        """The partitions of each worker of this object, as far as the workers know."""
        return {status.name: status.partitions for status in self.status()}

    def dead(self) -> list[str]:
        """The workers that have ended by themselves."""
        return [member.name for member in self._members.values() if not member.alive()]

    def check(self) -> None:
        """Raise `WorkerFailed` if a worker has ended by itself; `kill` forgets it, and `add` starts another."""
        for name in self.dead():
            self._members[name].join()
            raise WorkerFailed(f"{name} ended although nobody asked it to.")

    def output(self, name: str) -> str:
        """What this worker's process has written to its standard output and error, handlers included: the newest."""
        return self._members[name].output()

    def lag(self, *, look: bool = False) -> list[PartitionLag]:
        """How far the group is behind, per partition; with `look`, a share group without what nobody can read."""
        return self._standing.lag(look=look)

    def drain(self, *, timeout: float) -> pd.DataFrame:
        """Wait until every record on the topic is done and committed; return the records so far.

        Raises `DeadlineExceeded` when `timeout` seconds are over, also when a handler never returns or Kafka does not
        answer: it says how many tasks are left, and which have been running where, or that all are done and it could
        not be seen in time by whom. Raises `WorkerFailed` as `check` does, and `DoneElsewhere` when others of the group
        have done some of the tasks since it was started.
        """
        what = f"the group {self.group!r} was to finish all tasks on {self.topic.name!r}"
        drain = Drain([*self._members.values()], lag=self.lag, check=self.check, what=what, timeout=timeout)
        lag, records = drain.wait(), self.records()
        must_be_all(self.topic, records, state=self._standing, before=self._before, lag=lag, deadline=drain.deadline)
        return records

    def attempts(self) -> int:
        """How many attempts are known to have ended so far."""
        return len(self._records)

    @property
    def target(self) -> Path | None:
        """The file in which the records are left."""
        return self._records.target

    def records(self) -> pd.DataFrame:
        """One row per attempt so far, ordered by the time at which it finished."""
        return self._records.frame()

    def outcomes(self) -> tuple[Counter[str], int]:
        """How many attempts there were of each outcome so far, and how many workers have made them."""
        return self._records.counts()

    def stop(self, *, timeout: float = STOP_TIMEOUT) -> None:
        """All workers finish the tasks in hand, commit and leave, and end within `timeout` seconds whatever one does.

        A process that has not ended by then is killed, a thread is left behind; either is said by `WorkerFailed`.
        What interrupts it meanwhile, as a second Ctrl-C, is held back until all have ended.
        """
        with held_back(), ExitStack() as stack:  # all of it, whatever fails on the way
            members, self._members = list(self._members.values()), {}
            stack.callback(self._records.leave)
            stack.callback(self._standing.close)
            failures = stop_members(members, timeout)
            if failures:
                raise WorkerFailed(" ".join(str(failure) for failure in failures)) from failures[0]

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    def _has_done(self, partition: int, floor: int) -> bool | None:
        if any(member.running(ANSWER_TIMEOUT) != [] for member in [*self._members.values()]):
            return None
        return has_records(self.topic, self.records, state=self._standing, partition=partition, floor=floor)

    def _balanced(self) -> bool:
        self.check()
        mine = {self._member_of(name): partitions for name, partitions in self.assignment().items()}
        return self._standing.is_balanced(mine, killed=[self._member_of(name) for name in self._killed])

    def _member_of(self, name: str) -> str:
        """The name of a worker in its group, where other programs may have workers of that name."""
        return f"{name}.{self._token}"

    def _settled(self, name: str) -> int:
        self.check()
        status = self._members[name].status()
        return status.done + status.failed

    def _take(self, record: TaskRecord) -> None:
        self._records.append(record)
        if self._on_record is not None:
            self._on_record(record)

    def _new_member(self, name: str) -> Member:
        who: dict[str, Any] = {"name": name, "member": self._member_of(name), "group": self.group}
        how: dict[str, Any] = {"work": self._work, "config": self._config}
        if self._processes:
            return ProcessMember(worker_job(self.topic, **who, **how), on_record=self._take, log_dir=self._log_dir)
        make = worker_class(self._config.mode)
        return ThreadMember(make(self.topic, **who, **how, on_record=self._take, told=self._told, clock=self._clock))

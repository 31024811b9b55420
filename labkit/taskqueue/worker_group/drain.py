"""The wait for a group to finish what is on its topic, never longer than it may take; it says what it waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from time import monotonic

from labkit.errors import BrokerUnreachable, DeadlineExceeded, UnknownTopic, WorkerFailed
from labkit.lab.condition import interval_after
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.timeouts import left_until, on_a_thread, wait_until
from labkit.taskqueue.topics import PartitionLag
from labkit.taskqueue.worker_group.base_worker import RunningTask
from labkit.taskqueue.worker_group.members import Member

#: How long to wait at least between two looks at the lag, in seconds: to ask costs time that the workers need.
LAG_INTERVAL = 0.1
#: How long there is for the last answer at most, in seconds, and as a part of the whole time.
ANSWER_TIMEOUT, ANSWER_SHARE = 0.5, 0.1
#: How many of a worker's tasks are named.
NAMED = 3


def answer_margin(timeout: float) -> float:
    """How much of a time-out is kept for the last answer, so that there is one when the time is over; in seconds."""
    return min(ANSWER_TIMEOUT, ANSWER_SHARE * timeout)


def shares(assignment: Mapping[str, tuple[int, ...]]) -> str:
    """Who has which partitions, and what to do where the workers of a group do not share them out."""
    words = [f"{name} has {', '.join(map(str, partitions)) or 'none'}" for name, partitions in assignment.items()]
    return (
        f"Now {'; '.join(words) or 'there is no worker'}. Is another program in the group, or was a worker killed "
        "whose session is not over? `labkit groups describe` shows its members; wait once more, or take another group."
    )


def wait_for_count(done: Callable[[], int], goal: int, *, timeout: float, who: str) -> None:
    """Return when `who` has done so many tasks; raises `DeadlineExceeded`, which says how many are and at what rate."""
    pace, last = Pace(done()), [0]

    def is_reached() -> bool:
        last[0] = done()
        return last[0] >= goal

    def told() -> str:
        left = goal - last[0]
        otherwise = "is there anything on the topic, and does its handler return? Else give a longer `timeout`"
        return f"{pace.so_far(last[0], 'were done')}, and {left} are left. {pace.advice(last[0], left, otherwise)}"

    wait_until(is_reached, timeout=timeout, what=f"{who} was to work on {goal} tasks", told=told)


class Drain:
    """One wait of `timeout` seconds. `lag`, as in `GroupState`, may take as long as it likes.

    `check` raises what is wrong with a worker.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        lag: Callable[..., list[PartitionLag]],
        check: Callable[[], object],
        what: str,
        timeout: float,
    ) -> None:
        self._members = members
        self._lag = partial(lag, look=True)
        self._check = check
        self._what = what
        self._timeout = timeout
        #: when it ends, by `time.monotonic`
        self.deadline = monotonic() + timeout
        self._last: list[PartitionLag] | None = None
        self._pace: Pace | None = None
        self._trouble = ""

    def wait(self) -> list[PartitionLag]:
        """Return when nothing is left and all that the workers have recorded is known here; how the group stands then.

        Raises `DeadlineExceeded`, which says what the workers are at, when the time is over.
        """
        margin = answer_margin(self._timeout)
        begun = monotonic()
        pause = threading.Event().wait
        while True:
            # what `lag` asks may not answer for long: it is asked on a thread, which is left behind then
            asked = on_a_thread(self._lag)
            while not asked.done():
                self._check()
                wait([asked], min(LAG_INTERVAL, self._left_but(margin)))
            lag = self._result(asked)
            if lag is not None and not any(partition.lag for partition in lag):
                self._catch_up()
                return lag
            self._check()
            pause(min(interval_after(monotonic() - begun, LAG_INTERVAL), self._left_but(margin)))

    def _left_but(self, margin: float) -> float:
        """How much time is left to wait; raises `DeadlineExceeded` if there is none."""
        left = left_until(self.deadline - margin)
        if not left:
            words = [*self._count(), self._trouble, *(_in_words(*answer) for answer in self._running()), self._advice()]
            raise DeadlineExceeded(" ".join([self._begin(), *filter(None, words)]))
        return left

    def _count(self) -> list[str]:
        if self._last is None or self._pace is None:
            return ["How many are left is not known."]
        return [f"{self._pace.so_far(_done(self._last), 'tasks were done')}, and {_left(self._last)} are left."]

    def _advice(self) -> str:
        if self._last is None or self._pace is None:
            return "See whether Kafka runs (`labkit status`), and wait once more."
        otherwise = "see what the workers say (`output`), end what hangs, or give a longer `timeout`"
        return self._pace.advice(_done(self._last), _left(self._last), otherwise)

    def _result(self, asked: Future[list[PartitionLag]]) -> list[PartitionLag] | None:
        try:
            self._last = asked.result()
            self._pace = self._pace or Pace(_done(self._last))
        except (BrokerUnreachable, UnknownTopic) as error:  # it may come back, or be made anew, in time
            self._trouble = str(error)
            return None
        self._trouble = ""
        return self._last

    def _catch_up(self) -> None:
        silent = [name for name, tasks in self._running() if tasks is None]
        if silent:
            raise DeadlineExceeded(
                f"{self._begin()} All are done, but {', '.join(silent)} did not say what was done. Drain once more."
            )

    def _begin(self) -> str:
        return f"Waited {self._timeout:g} s in vain: {self._what}."

    def _running(self) -> list[tuple[str, list[RunningTask] | None]]:
        """What each member works on, by its own word; None for those that do not answer in time."""

        def ask(member: Member) -> list[RunningTask] | None:
            try:
                return member.running(left_until(self.deadline))
            except WorkerFailed:
                return None

        if not self._members:
            return []
        with ThreadPoolExecutor(len(self._members), thread_name_prefix="labkit-drain") as pool:
            names = [member.name for member in self._members]
            return list(zip(names, pool.map(ask, self._members), strict=True))


def _left(lag: Sequence[PartitionLag]) -> int:
    return sum(partition.lag for partition in lag)


def _done(lag: Sequence[PartitionLag]) -> int:
    return sum(partition.committed for partition in lag)


def _in_words(name: str, tasks: list[RunningTask] | None) -> str:
    if tasks is None:
        return f"{name} does not answer."
    if not tasks:
        return f"{name} works on nothing."
    more = f", and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
    return f"In {name}, {', '.join(map(str, tasks[:NAMED]))}{more}."

"""The view of the jobs: what they are now, in a store that is built from the topic and can be built again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from typing import Any

from labkit.errors import BrokerUnreachable, DeadlineExceeded, LabkitError, StoreFailed, StoreInUse
from labkit.jobs.follower import Catalogue, Follower, look_at_ends
from labkit.jobs.job import Job, JobEvent, JobStatus
from labkit.jobs.store import Store, StoreMoved
from labkit.jobs.writer import Jobs
from labkit.outage import Outage
from labkit.resource import Resource, end_all
from labkit.settings import Settings
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.timeouts import SILENCE, Answer, left_until, on_a_thread, wait_for_answer
from labkit.taskqueue.topics import Topic

log = logging.getLogger("labkit.jobs")

#: How long reading and waiting may take, by default, in seconds.
TIMEOUT = 30.0
#: How long one wait for events is, in seconds.
STEP = 0.1
#: How often to look into the store while another process follows, in seconds.
LOOK_INTERVAL = 0.02
#: How often to try to follow while another process does, and again after an error, in seconds.
TRY_AGAIN = 0.2
#: How long a close waits for what is being read, in seconds; more than a lock in PostgreSQL may take.
STOP_TIMEOUT = 60.0
#: How many jobs are mended at once.
MENDED_AT_ONCE = 100

JobList = list[Job]
EventList = list[JobEvent]
_SEE = "do `labkit jobs consume` and Kafka (`labkit status`) run? Else give a longer `timeout`"


class JobView(Resource, checked=True):
    """What the jobs are, by all events up to some moment. A context manager; safe to use from several threads.

    The store is a database (SQLAlchemy's URL). Several processes may have views on one store: one of them reads the
    topic for all, and when it ends another does. `follow` goes on reading; `catch_up` and `wait_for` read too if
    nobody follows. Everything else only asks the store.
    A store that belongs to another topic, or to one of the same name in another cluster, is emptied and built anew.
    `clock` gives seconds since the epoch.

    All may raise `StoreFailed`; reading the topic raises what transports raise.
    """

    def __init__(
        self, topic: Topic, url: str, *, settings: Settings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.topic = topic
        self._settings = settings
        self._store = Store(url, clock=clock)
        self._catalogue = Catalogue(topic)
        self._follower = Follower(topic, self._store, self._catalogue)
        #: held by the thread that reads for all threads of this process
        self._turn = threading.Lock()
        self._advanced = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: Exception | None = None
        self._outage = Outage(
            log, f"The view of {topic.name}", "the topic or its store", meanwhile="shows the jobs as they were"
        )
        self._writer: Jobs | None = None
        #: a question to the broker whose answer has not come in time
        self._unanswered: Future[Any] | None = None

    def catch_up(self, *, timeout: float = TIMEOUT) -> None:
        """Return when everything is in the store that is on the topic now.

        Raises `DeadlineExceeded`, and `StoreInUse` if another process keeps another topic's jobs there. A broker that
        does not answer has a second at least, and is `BrokerUnreachable`.
        """
        deadline = time.monotonic() + timeout
        topic = self._answer(self._catalogue.look, deadline)
        ends = look_at_ends(self._store, lambda: self._answer(self._catalogue.ends, deadline), topic)

        def left() -> int:
            positions = self._store.positions(topic)
            return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())

        self._wait(left, deadline, timeout, f"the view was to catch up with {self.topic.name}", "records were read")

    def follow(self) -> None:
        """Go on reading, in a thread, until `close`. Whatever fails is said once and tried again.

        It also mends: a job whose last event is not the one that it is known by gets that one written again, so that
        compaction keeps it.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._follow, name="job-view", daemon=True)
            thread.start()
            self._thread = thread

    def topic_id(self) -> str:
        """The id of the topic that bears the name now: the view is of no other from here on. Raises `UnknownTopic`."""
        return self._catalogue.look().id

    def get(self, job_id: int) -> Job | None:
        """The job; None if it is not known here."""
        return self._store.get(self._catalogue.id(), job_id)

    def list(self, status: JobStatus | None = None, after: int | None = None, limit: int = 50) -> JobList:
        """Up to `limit` jobs in the order of their ids: those of this status, with an id above `after`."""
        return self._store.page(self._catalogue.id(), status=status, after=after, limit=limit)

    def events(self, job_id: int) -> EventList:
        """All events of the job that are known here, by version, those of the same version by time."""
        return self._store.events(self._catalogue.id(), job_id)

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are of every status."""
        return self._store.counts(self._catalogue.id())

    def changes_since(self, cursor: int, limit: int = 100) -> JobList:
        """Up to `limit` jobs that have changed after the change of that number, in the order of their last change.

        The last one's `change` is the next cursor; 0 begins with all. The numbers go on when the store is rebuilt.
        """
        return self._store.changes_since(self._catalogue.id(), cursor, limit)

    def last_change(self) -> int:
        """The number of the last change: the cursor of who wants to hear of later ones only."""
        return self._store.last_change(self._catalogue.id())

    def wait_for(self, job_id: int, version: int, timeout: float = TIMEOUT) -> Job:
        """The job as soon as it has come to this version, or is DONE: how to read one's own write.

        Raises what `catch_up` raises.
        """
        deadline = time.monotonic() + timeout
        if not self._catalogue.is_known:
            self._answer(self._catalogue.look, deadline)
        found: list[Job] = []

        def left() -> int:
            job = self.get(job_id)
            if job is None or not job.reached(version):
                return version - (0 if job is None else job.version)
            found.append(job)
            return 0

        self._wait(left, deadline, timeout, f"job {job_id} was to come to version {version}", "changes of it were read")
        return found[0]

    def close(self) -> None:
        """Stop following, and let go of everything. Closing twice is no error."""
        self._stop.set()
        if self._turn.acquire(timeout=STOP_TIMEOUT):
            end_all(self._let_go, self._turn.release)
            if self._thread is not None:
                self._thread.join(STOP_TIMEOUT)
        else:  # its database is frozen
            log.warning("The view of %s did not end within %g s; it is left behind.", self.topic.name, STOP_TIMEOUT)
            threading.Thread(target=self._let_go_later, name="job-view-end", daemon=True).start()

    def _let_go_later(self) -> None:
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._store.close)
            stack.callback(self._catalogue.close)
            if self._writer is not None:
                stack.callback(self._writer.close)
            stack.callback(self._follower.release)

    def _answer(self, question: Callable[[], Answer], deadline: float) -> Answer:
        """The broker's answer. While one is under way that nobody waits for any more, no other question is put."""
        deadline = max(deadline, time.monotonic() + SILENCE)
        if self._unanswered is not None:
            wait_for_answer(self._unanswered, deadline, away=BrokerUnreachable)
        asked = on_a_thread(question)
        self._unanswered = asked
        wait_for_answer(asked, deadline, away=BrokerUnreachable)
        self._unanswered = None
        return asked.result()

    def _wait(self, missing: Callable[[], int], deadline: float, timeout: float, what: str, done: str) -> None:
        """Wait for what another thread or process reads; read if nobody does, on a thread, which may be left behind."""
        my_turn, pace = False, Pace(-missing())
        step: Future[bool | None] | None = None
        try:
            while last := missing():
                left = left_until(deadline)
                if self._stop.is_set():
                    raise StoreFailed(f"The view of the jobs was closed while {what}.")
                if left == 0:
                    said = f"Waited {timeout:g} s in vain: {what}. {pace.so_far(-last, done)}, and {last} are left."
                    raise self._too_late(said, pace.advice(-last, last, _SEE))
                my_turn = my_turn or (self._thread is None and self._turn.acquire(blocking=False))
                if my_turn:
                    if step is None or step.done():
                        step = on_a_thread(partial(self._step, min(left, STEP)))
                    wait([step], left)
                if step is None or (step.done() and step.result() is None):
                    with self._advanced:
                        self._advanced.wait(min(left, LOOK_INTERVAL))
        finally:
            if step is not None and not step.done():  # the broker or the store hangs
                step.add_done_callback(lambda _: self._end_turn())
            elif my_turn:
                self._end_turn()

    def _end_turn(self) -> None:
        try:
            self._follower.release()
        finally:
            self._turn.release()

    def _step(self, timeout: float) -> bool | None:
        advanced = self._follower.step(timeout)
        if advanced:
            with self._advanced:
                self._advanced.notify_all()
        return advanced

    def _too_late(self, said: str, advice: str) -> LabkitError:
        still = self._follower.standing_still()
        holds = self._store.origin()
        if holds is not None and holds != self._catalogue.id():
            return StoreInUse(
                f"The store {self._store.name} holds the jobs of {holds.name} (topic id {holds.id}), which another "
                f"process follows. Give every topic a store of its own (LABKIT_JOBS_URL).{still}"
            )
        because = f" The last error: {self._trouble}" if self._trouble is not None else ""
        return DeadlineExceeded(f"{said}{because}{still} {advice}")

    def _follow(self) -> None:
        with self._turn:
            while not self._stop.is_set():
                try:
                    self._follow_on()
                except Exception as error:  # whatever it is, the view is to follow on
                    self._trouble = error
                    if not isinstance(error, LabkitError) and not self._outage.on:
                        log.exception("the view of %s could not follow", self.topic.name)
                    self._outage.begins(error)
                self._stop.wait(TRY_AGAIN)

    def _follow_on(self) -> None:
        """Read until another process follows, or to the end."""
        to_mend = True
        while not self._stop.is_set():
            advanced = self._step(STEP)
            if advanced is False and to_mend:
                self._mend()
            self._trouble = None
            self._outage.ends()
            if advanced is None:
                return
            to_mend = advanced

    def _mend(self) -> None:
        topic = self._catalogue.look()
        at = self._store.positions(topic)  # first, so that whoever reads more is noticed
        while not self._stop.is_set() and (outvoted := self._store.outvoted(topic, MENDED_AT_ONCE)):
            if self._writer is None:
                self._writer = Jobs(self.topic, settings=self._settings)
            for job in outvoted:
                if self._catalogue.look() != topic:  # events of one that is gone have no place on the next
                    return
                self._writer.write(job.event())
            try:
                self._store.set_mended(topic, [job.job_id for job in outvoted], at=at)
            except StoreMoved:  # another process reads too, and mends what is left
                return
            log.info("%d jobs were written again, since their last event was an older one", len(outvoted))

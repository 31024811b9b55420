"""A dispatcher or a bridge with Celery's workers, for a notebook or an experiment: started together, drained, ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from labkit.backpressure import Strategy
from labkit.celery_app.application import broker_url, key_prefix
from labkit.celery_app.capacity import Capacity, Count, connect
from labkit.celery_app.celery_worker import Pool
from labkit.celery_app.record_stream import RecordStream
from labkit.dispatch.dispatcher import Dispatcher, group_of
from labkit.dispatch.factory import BRIDGE, BRIDGE_GROUP, DISPATCHER_GROUP, make_bridge, make_dispatcher
from labkit.dispatch.missing_records import ClassGroup, Look, MissingRecords, what_it_means
from labkit.dispatch.own_space import delete_own, own_settings, own_topics
from labkit.dispatch.process_fleet import CeleryWorker
from labkit.dispatch.session_options import (
    DEFAULT_POLICY,
    DEFAULT_POOL,
    limit_of,
    must_have_one_source,
    with_own_handlers,
)
from labkit.dispatch.session_records import SessionRecords
from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    RedisRefused,
    RedisUnreachable,
    UnknownTopic,
)
from labkit.jobs.topic_kind import topic_of_tasks
from labkit.lab import Lab
from labkit.lab.condition import wait_for
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.policies import PriorityClass, make_policy
from labkit.process.signals import held_back
from labkit.redis_state import asked
from labkit.resource import Resource
from labkit.settings import Settings, load_settings
from labkit.taskqueue import connect as connect_kafka
from labkit.taskqueue.namespace import new_namespace
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.timeouts import answer_of_broker
from labkit.taskqueue.topics import PartitionLag, Topic, Topics
from labkit.taskqueue.worker_group.drain import answer_margin

if TYPE_CHECKING:
    import pandas as pd


log = safe_logger("labkit.dispatcher")


class CelerySession(Resource, checked=True):
    """Records go from Kafka to Celery and are performed there. A context manager.

    With `classes` (in rank order, the most urgent first) a priority dispatcher reads the topics `jobs.<class>` by the
    `policy`, by default "reserve". They are this session's own, as are its groups, Celery's queue and the records: any
    number of sessions may go on side by side, and what is left of one is deleted at its end. With a `topic` a bridge
    reads that one, into a queue of this session; one that `Topics` has made `fresh` or `temporary` is meant by its
    object, since its name may be another's too. `concurrency` is how many tasks Celery performs at once, by default
    2, in forked processes of one worker or in threads (Celery's word for that is `pool`). Each takes `prefetch` from
    the queue, and `limit` is how many may be in it or taken for each, by default as in the settings. Raises
    `SettingsError` for what cannot be or does nothing.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        classes: Sequence[PriorityClass] = (),
        policy: str | None = None,
        options: Mapping[str, float] | None = None,
        topic: Topic | str | None = None,
        concurrency: int | None = None,
        pool: Pool = DEFAULT_POOL,
        prefetch: int = 1,
        limit: int | None = None,
        admission: Strategy[Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        must_have_one_source(classes, topic, policy=policy, options=options, limit=limit, admission=admission)
        make_policy(policy or DEFAULT_POLICY, **(options or {}))  # what is wrong with it is said before anything starts
        self.lab = lab
        given = with_own_handlers(settings or load_settings())
        self._settings = settings = own_settings(given) if topic is None else given
        self._classes = list(classes)
        self._policy = policy or DEFAULT_POLICY
        self._options = options
        self._topic = topic.name if isinstance(topic, Topic) else topic
        self._limit = limit_of(limit, settings)
        self._admission = admission
        if topic is not None:  # the topic is anybody's, but the queue and the records are this session's own
            self._settings = settings = settings.model_copy(update={"celery_namespace": f"session.{new_namespace()}"})
        self._client = client = connect(broker_url(settings, lab))
        self._room = Capacity(client, settings, limit=self._limit)
        self._records = SessionRecords(RecordStream(client, settings))
        self._outage = Outage(log, "the session", "Redis and Kafka")
        self._stack = ExitStack()
        self._stack.callback(self._records.close)
        self.topics = self._stack.enter_context(_topics(lab, topic, settings))
        self._groups: dict[str, ClassGroup] = {}
        self._lag: dict[str, list[PartitionLag]] = {}
        self.worker = CeleryWorker(lab, pool=pool, concurrency=concurrency, prefetch=prefetch, settings=settings)
        self.dispatcher: Dispatcher

    def start(self) -> Self:
        """Start Celery's worker and the dispatcher; returns when both are ready.

        Raises `OtherTopicKind` if the topic holds jobs or dead letters.
        """
        if self._topic is not None:
            topic_of_tasks(self.topics, self._topic)
            self._stack.callback(self._forget)
        self._records.skip()
        with asked(f"The session could not be noted under {self._mark}"):
            self._client.set(self._mark, 1)
        self._stack.enter_context(self.worker)
        for known in self._classes:
            self.topics.create(f"jobs.{known.name}", partitions=2)
        for name, (topic, group) in self._named_groups().items():
            self._groups[name] = found = ClassGroup(self.topics.get(topic), group_of(group, name))
            self._stack.callback(found.state.close)
        self.dispatcher = self._stack.enter_context(self._make())
        return self

    def topic(self, name: str) -> Topic:
        """The topic of this class."""
        return self.topics.get(f"jobs.{name}")

    def use(self, policy: str, **options: float) -> None:
        """Dispatch by this policy from now on. Raises `SettingsError`."""
        self.dispatcher.use(make_policy(policy, **options))

    def count(self) -> Count:
        """How full Celery is."""
        return self._room.count()

    def lag(self) -> dict[str, list[PartitionLag]]:
        """How far each class is behind on Kafka, by its name."""
        return {name: group.state.lag() for name, group in self._groups.items()}

    def records(self) -> pd.DataFrame:
        """The records so far, one row per attempt in Celery and per task that was shed or given up."""
        self._records.read()
        return self._records.frame()

    def turned_away(self) -> pd.DataFrame:
        """What was shed or put aside at the dispatcher's admission, counted by moment."""
        return self.dispatcher.turned_away()

    def wait_for_records(self, count: int, *, timeout: float) -> pd.DataFrame:
        """Wait until so many records have come, and return them all; raises `DeadlineExceeded`.

        A Redis that is away is waited for.
        """
        deadline = monotonic() + timeout
        self._wait(lambda: self._records.read(deadline) >= count, timeout=timeout, what=f"{count} records were to come")
        return self._records.frame()

    def drain(self, *, timeout: float) -> pd.DataFrame:
        """Wait until everything on Kafka is dispatched and Celery has finished it; raises `DeadlineExceeded`.

        A Redis, a broker or a topic that is away is waited for, and so is a worker that does not run. When some tasks
        have no record, and nothing has changed for six seconds, it raises `TasksLost`, or for a bridge `DoneElsewhere`,
        since others of its group may have done them since the start. `TasksLost` comes at once when Redis came back
        empty.
        """
        deadline = monotonic() + timeout
        missing = MissingRecords(lambda: self._missing(deadline))
        self._wait(
            lambda: missing.are_final(self._look(deadline), lambda: self._has_lost_all(deadline)),
            timeout=timeout,
            what="Celery was to finish all tasks and leave their records",
        )
        for name, number in missing.by_class.items():
            topic, group = self._groups[name].topic.name, None if self._topic is None else BRIDGE_GROUP
            raise what_it_means(self._records.frame(), topic, number, group=group, all_lost=missing.all_lost)
        return self._records.frame()

    def stop(self) -> None:
        """End the dispatcher, then Celery's worker. A second Ctrl-C is held back meanwhile."""
        with held_back():
            self._stack.close()

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    def _make(self) -> Dispatcher:
        if self._topic is not None:
            return make_bridge(self.lab, self.topics, self._topic, settings=self._settings)
        return make_dispatcher(
            self.lab,
            self.topics,
            self._classes,
            self._policy,
            self._options,
            limit=self._limit,
            admission=self._admission,
            settings=self._settings,
        )

    @property
    def _mark(self) -> str:
        """The name of what this session has put into Redis, to see whether it has lost anything."""
        return f"{key_prefix(self._settings)}session"

    def _missing(self, deadline: float) -> dict[str, int] | None:
        """Of each class of which some tasks have no record, how many; None if that is not known by `deadline`."""
        records = self._records.frame()
        found: dict[str, int] = {}
        for name, group in self._groups.items():
            number = group.missing(records, self._lag[name], deadline)
            if number is None:
                return None
            if number:
                found[name] = number
        return found

    def _has_lost_all(self, deadline: float) -> bool:
        with asked(f"It could not be seen whether {self._mark} is there"):
            return not answer_of_broker(partial(self._client.exists, self._mark), deadline, away=RedisUnreachable)

    def _named_groups(self) -> dict[str, tuple[str, str]]:
        if self._topic is not None:
            return {BRIDGE: (self._topic, BRIDGE_GROUP)}
        return {one.name: (f"jobs.{one.name}", DISPATCHER_GROUP) for one in self._classes}

    def _forget(self) -> None:
        """Delete what the session had in Redis; the records are kept here."""
        try:
            self._records.read()
            delete_own(self._client, key_prefix(self._settings))
        except (RedisUnreachable, RedisRefused) as error:
            log.warning("what the session had in Redis was not deleted: %s", error)

    def _wait(self, condition: Callable[[], bool], *, timeout: float, what: str) -> None:
        """Wait for the condition, which does not hold while Redis, the broker or a topic is away."""
        trouble, pace = "", Pace(len(self._records))

        def holds() -> bool:
            nonlocal trouble
            try:
                found = condition()
            except DeadlineExceeded:  # for the last look there was little time
                return False
            except (RedisUnreachable, BrokerUnreachable, UnknownTopic) as error:
                trouble = f" {error}"
                self._outage.begins(error)
                return False
            trouble = ""
            self._outage.ends()
            return found

        if not wait_for(holds, timeout - answer_margin(timeout), interval=0.05):
            done, left = len(self._records), sum(place.lag for places in self._lag.values() for place in places)
            so_far = f"{pace.so_far(done, 'records came')}, and {left} tasks are left on Kafka."
            look = "does the policy start tasks, does Celery's worker run, do tasks end? Else give a longer `timeout`"
            advice = pace.advice(done, left, look)
            raise DeadlineExceeded(f"Waited {timeout:g} s in vain: {what}.{trouble} {so_far} {advice}")

    def _look(self, deadline: float) -> Look:
        """How all stands; the records of what is done by now are here then. Both must answer by the deadline."""
        self.dispatcher.check()
        self.worker.check()
        # Kafka first: what is committed there was in Celery before
        self._lag = answer_of_broker(self.lag, deadline)
        places = [place for places in self._lag.values() for place in places]
        count = answer_of_broker(self.count, deadline, away=RedisUnreachable)
        done = not (any(place.lag for place in places) or any(count.waiting) or count.unacknowledged)
        ends = sum(place.end for place in places)
        return Look(done=done, records=self._records.read(deadline), ends=ends, concurrency=count.concurrency)


def _topics(lab: Lab, topic: Topic | str | None, settings: Settings) -> AbstractContextManager[Topics]:
    """The topics among which the session finds its own."""
    if topic is None:
        return own_topics(lab, settings)
    return Topics.of(topic) if isinstance(topic, Topic) else connect_kafka(lab)

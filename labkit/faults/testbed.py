"""The testbed of a run with Celery: the topics, tasks with an effect each, who works, and what is left at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.celery_app.application import broker_url
from labkit.celery_app.capacity import Capacity
from labkit.celery_app.capacity import connect as connect_redis
from labkit.celery_app.celery_worker import Pool
from labkit.dispatch.dispatcher import group_of
from labkit.dispatch.factory import BRIDGE, BRIDGE_GROUP, DISPATCHER_GROUP, class_topic
from labkit.dispatch.own_space import own_settings, own_topics
from labkit.dispatch.process_fleet import CeleryWorker, DispatcherProcess
from labkit.faults import effects, sources
from labkit.faults.commit_log import COMMITS_TOPIC, group_commits
from labkit.faults.history import History
from labkit.lab import Lab
from labkit.measure.records import Receipt, receipts_to_frame
from labkit.policies import PriorityClass
from labkit.settings import load_settings
from labkit.taskqueue import Producer, Topics, connect, new_task
from labkit.taskqueue.dead_letter import dead_topic
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topic, read_topic
from labkit.taskqueue.transport.contract import Record

if TYPE_CHECKING:
    import pandas as pd


#: Of so many tasks, one is of a kind that nobody handles, and another one always fails.
ODD_ONE = 100
NOBODYS_KIND = "nobody"

#: The topic of a bridge.
BRIDGE_TOPIC = "task_queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchLoad:
    """What is to be done, by whom. Each task takes `seconds`, and is of this `kind`.

    Without `classes` there are bridges, not dispatchers. `pools` are those of the Celery workers, of `concurrency`
    each, for which `limit` tasks may be taken. What a killed worker had comes back after `visibility_timeout` seconds.
    """

    tasks: int
    seconds: float = 0.01
    kind: str = effects.EFFECT_KIND
    classes: tuple[str, ...] = ("high", "low")
    policy: str = "weighted"
    dispatchers: int = 1
    pools: tuple[Pool, ...] = ("prefork", "threads")
    concurrency: int = 2
    limit: int = 4
    visibility_timeout: float = 5.0
    session_timeout: float = 1.0


class Testbed:
    """Where a load is done. `database` is the file that counts effects; `topics` are there inside the context."""

    topics: Topics
    __test__ = False  # its name begins as those of pytest's classes do

    def __init__(self, lab: Lab, load: DispatchLoad, database: Path) -> None:
        self._lab = lab
        self._load = load
        self._settings = own_settings(
            load_settings(
                celery_imports=effects.__name__,
                celery_visibility_timeout=load.visibility_timeout,
                session_timeout=load.session_timeout,
            )
        )
        self._room = Capacity(connect_redis(broker_url(self._settings, lab)), self._settings, limit=load.limit)
        self._receipts: dict[str, list[Receipt]] = {}
        self.database = database

    @contextmanager
    def set_up(self) -> Iterator[None]:
        """Make topics that nobody else has, and the file of effects."""
        effects.create_effects(self.database)
        # dispatchers get ready on another thread, so they ask over a connection of their own
        prefix = self._settings.topic_prefix
        with own_topics(self._lab, self._settings) as self.topics, connect(self._lab, prefix=prefix) as self._asked:
            self._found = [self.topics.create(name, partitions=2) for name in self._groups()]
            yield

    def produce(self, tasks: int) -> None:
        """Send so many tasks, to each topic in turn."""
        made = [self._task(number) for number in range(tasks)]
        for place, topic in enumerate(self._found):
            with Producer(topic) as producer:
                sent = producer.send_many(made[place :: len(self._found)])
            self._receipts.setdefault(topic.name, []).extend(sent)

    def dispatcher(self, *, imports: str = effects.__name__, log_dir: Path | None = None) -> DispatcherProcess:
        """A dispatcher or a bridge, not started. `imports`: the modules that it imports."""
        load = self._load
        return DispatcherProcess(
            self._lab,
            self._asked,
            [PriorityClass(name=name) for name in load.classes],
            load.policy if load.classes else None,
            topic=None if load.classes else BRIDGE_TOPIC,
            limit=load.limit if load.classes else None,
            log_dir=log_dir,
            settings=self._settings.model_copy(update={"celery_imports": imports}),
        )

    def worker(self, pool: Pool, *, imports: str = effects.__name__) -> CeleryWorker:
        """A Celery worker, not started. `imports`: the modules that it imports."""
        settings = self._settings.model_copy(update={"celery_imports": imports})
        return CeleryWorker(self._lab, pool=pool, concurrency=self._load.concurrency, settings=settings)

    def effects(self) -> int:
        """How many effects there were so far."""
        return effects.count_effects(self.database)

    def lag(self) -> int:
        """How many records are not committed."""
        places = [place for name, group in self._groups().items() for place in self.topics.lag(name, group=group)]
        return sum(place.lag for place in places)

    def is_done(self) -> bool:
        """Whether everything on Kafka is dispatched and committed, and Celery has nothing left."""
        return not self.lag() and not self.queued()

    def queued(self) -> int:
        """How many tasks Celery has, waiting or taken."""
        count = self._room.count()
        return sum(count.waiting) + count.unacknowledged

    def histories(self) -> dict[str, History]:
        """What happened to the tasks of each topic."""
        receipts = {topic: receipts_to_frame(self._receipts[topic.name]) for topic in self._found}
        return {topic.name: self._history(topic, sent) for topic, sent in receipts.items()}

    def _groups(self) -> dict[str, str]:
        """The topics, and the group that reads each."""
        if not self._load.classes:
            return {BRIDGE_TOPIC: group_of(BRIDGE_GROUP, BRIDGE)}
        return {class_topic(name): group_of(DISPATCHER_GROUP, name) for name in self._load.classes}

    def _task(self, number: int) -> Task:
        if number % ODD_ONE == ODD_ONE // 2:
            return new_task(NOBODYS_KIND)
        fails = number % ODD_ONE == ODD_ONE // 4
        told = effects.payload(self.database, seconds=self._load.seconds, fails=fails)
        return new_task(self._load.kind, told)

    def _history(self, topic: Topic, receipts: pd.DataFrame) -> History:
        group = topic.full_group(self._groups()[topic.name])
        sent = set(receipts["task_id"])
        return History(
            (
                *sources.of_receipts(receipts),
                *sources.of_log(read_topic(topic.transport, topic.full_name)),
                *sources.of_dead_letters(self._dead_letters(topic)),
                *group_commits(read_topic(topic.transport, COMMITS_TOPIC), group=group, topic=topic.full_name),
                *(event for event in effects.read_effects(self.database) if event.task in sent),
            )
        )

    def _dead_letters(self, topic: Topic) -> Iterable[Record]:
        if dead_topic(topic.name) not in self.topics.names():
            return ()
        return read_topic(topic.transport, dead_topic(topic.full_name))

"""A run of a solution against a broker: the topic and its tasks, the workers on it, what they told, what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from random import Random

from labkit.errors import HistoryUnreadable, UnknownTopic
from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.acknowledged_record import NewRecord, RecordWriter
from labkit.grading.behaviour.bounded_client import TIMEOUTS, BoundedClient
from labkit.grading.behaviour.group_view import GroupView
from labkit.grading.behaviour.mistakes import told
from labkit.grading.behaviour.run_history import mistakes_in, run_history
from labkit.grading.behaviour.student_time import StudentTime
from labkit.grading.behaviour.student_worker import EFFECTS_PORT, WORK, StudentWorker
from labkit.grading.behaviour.topic_records import UNCOMPRESSED, TopicRecord, read_records, topic_shape
from labkit.grading.effect_sink import Effect, EffectSink
from labkit.grading.question_verdict import Feedback, quoted
from labkit.grading.sandbox.mounts import socket_path
from labkit.grading.solution import GradingBroker, Solution
from labkit.lab.condition import wait_for
from labkit.resource import Resource
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport import connect_transport

#: How long what usually takes one second may take, in seconds: a computer may have much else to do.
PATIENCE = 60.0
#: After how long without a sign of work it counts as over, in seconds.
QUIET = 30.0
#: How long a task takes a worker, in seconds.
SECONDS = 0.02
#: How long it may take at most until the end of a process is seen, in seconds.
END_TIMEOUT = 10.0
#: How often to look, in seconds.
LOOK_INTERVAL = 0.02


class RunCut(Exception):
    """Nothing further can be tried; what was found says why."""


class BehaviourRun(Resource):
    """The means of a scenario. What it finds is kept in `found`; `RunCut` ends what has no use any more.

    `tasks` has the place of each task that the broker has acknowledged to the grader. A scenario may set how `further`
    tasks are made, and `is_one_group` to False where not all workers share one history, which it then judges itself.
    Raises what the broker does wrong: `TransportError`, `DeadlineExceeded`, `HistoryUnreadable`, `BrokerFailed`.
    """

    def __init__(
        self,
        solution: Solution,
        broker: GradingBroker,
        rng: Random,
        *,
        function: str,
        partitions: int,
        grows_to: int | None,
        timeout: float,
    ) -> None:
        self.function, self.partitions, self.grows_to = function, partitions, grows_to
        self.found: list[Feedback] = []
        self.workers: list[StudentWorker] = []
        self.tasks: dict[str, tuple[int, int]] = {}
        self.excused = 0
        self._lost: set[str] = set()
        self._sent: set[str] = set()
        self._solution, self.broker, self.rng = solution, broker, rng
        self.time = StudentTime(solution.clock, timeout)
        self.topic = f"tasks-{rng.getrandbits(32):08x}"
        self._transport = connect_transport(broker.connection, "kafka-python", timeouts=TIMEOUTS)
        self.topics = Topics(self._transport)
        self._writer = RecordWriter(self._transport, self.topic)
        self._group_name = f"workers-{rng.getrandbits(32):08x}"
        self._network = f"127.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"
        self.further: Callable[[int], list[NewRecord]] = self._tasks_in_turn
        self.is_one_group = True
        self._ends = ExitStack()
        self.sink = EffectSink()

    def start(self) -> BehaviourRun:
        """Make the topic, and listen to workers."""
        self.broker.used_up()  # raises, where it has ended, what a client would find out late
        self._ends.callback(self.broker.clear, self.topic, self._group_name)
        self._ends.enter_context(self.sink)
        self._ends.callback(self.topics.close)
        self._ends.callback(self._writer.close)
        self.client = self._ends.enter_context(BoundedClient(self.broker.connection))
        self.group = GroupView(self.client, self._group_name, self.topic, partitions=self.partitions)
        self.topics.create(self.topic, partitions=self.partitions, config=UNCOMPRESSED)
        self._shape = topic_shape(self.client, self.topic)
        return self

    def close(self) -> None:
        """End the workers, and let go of the broker; what fails then keeps nothing else from being ended."""
        self._ends.close()

    # --- what a scenario does

    def new_tasks(self, count: int) -> list[str]:
        """Further tasks, none of which is on the topic."""
        first = len(self.tasks) + 1
        return [f"Task {number}: Process file {self.rng.getrandbits(32):08x}" for number in range(first, first + count)]

    def produce(self, count: int) -> None:
        """Put so many tasks on the topic, to each partition in turn unless `further` makes others."""
        records = self.further(count)
        self._sent.update(record.task for record in records)  # a worker may have one before its acknowledgement is here
        self.tasks.update(self.write(records))

    def write(self, records: Sequence[NewRecord]) -> dict[str, tuple[int, int]]:
        """Put these records on the topic, which are no tasks; their places."""
        return self._writer.write(records)

    def add_topic(self, config: dict[str, str]) -> str:
        """A further topic with as many partitions, and its name."""
        name = f"{self.topic}-{self.rng.getrandbits(32):08x}"
        self._ends.callback(self.broker.clear, name, self.group.group)
        self.topics.create(name, partitions=self.partitions, config=UNCOMPRESSED | config)
        return name

    def grow(self, partitions: int) -> None:
        """Raise the number of partitions; further tasks go to all of them."""
        self.topics.grow(self.topic, partitions=partitions)
        self.partitions = self.group.partitions = partitions
        self._writer.renew()

    def add_worker(
        self, *arguments: object, topic: str | None = None, works: bool = True, logs: bool = False
    ) -> StudentWorker:
        """A worker whose cells are run. Its function gets the address, the topic, and the `arguments`; then, if it
        works, what it works with: see `effect_program`.
        """
        number = len(self.workers) + 1
        listed = [f"127.0.0.1:{self.broker.port}", topic or self.topic, *arguments]
        order = (self.function, listed)
        if works:
            order = (WORK, [self.function, listed, socket_path(EFFECTS_PORT), SECONDS, logs])
        worker = StudentWorker(
            f"worker {number}",
            f"{self._network}.{number}",
            self._solution,
            self.broker,
            self.sink,
            function=self.function,
            order=order,
            works=works,
        )
        self.workers.append(self._ends.enter_context(worker))
        return worker

    def begin(self, worker: StudentWorker) -> None:
        """Have its function called, and return when it is: what the sandbox and the cells take is not its time."""
        worker.begin()
        self.time.skip()
        self._look_at_workers()

    def next_task(self, worker: StudentWorker, count: int = 1) -> Callable[[Effect], bool]:
        """Which task the sink is to hold: of those that this worker begins from now on, this one and no other."""
        left = [count]

        def holds(effect: Effect) -> bool:
            if effect.what != "began" or effect.worker != worker.name or effect.task not in self._sent:
                return False
            left[0] -= 1
            return left[0] == 0

        return holds

    def held(self, worker: StudentWorker) -> Effect:
        """The beginning of the task that this worker waits with. Raises `RunCut` if it waits no longer: it has ended,
        or has hung up by itself.
        """
        found = [effect for effect in self.sink.held() if effect.worker == worker.name]
        if not found:
            self.wait(worker.is_over, END_TIMEOUT)
            said = "It told that it began a task, and did not wait for the grader's answer."
            raise self.cut(mistakes.ABUSE, said, who=worker.name)
        return found[0]

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether the condition holds in time, by the time that the student has. Raises `RunCut` when a worker does
        what ends the run.
        """

        def holds() -> bool:
            self._look_at_workers()
            return condition()

        return wait_for(holds, timeout, interval=LOOK_INTERVAL, clock=self.time.now)

    def stop(self, worker: StudentWorker, timeout: float) -> bool:
        """Ask it to stop, and let go what is held; whether its function has come to its end in time."""
        worker.stopping = True
        self.sink.ask_to_stop(worker.name)
        self.sink.let_go()
        return self.wait(worker.is_over, timeout)

    def finish(self, is_over: Callable[[float], bool] = lambda quiet: quiet > QUIET) -> bool:
        """Whether all tasks get done, until work is over after so many seconds without a sign of it; nobody waits for
        those that are lost.
        """
        count, since = -1, self.time.now()
        while set(self.undone()) - self._lost:
            self._look_at_workers()
            told = len(self.sink.effects())
            if told != count:
                count, since = told, self.time.now()
            quiet = self.time.now() - since
            if is_over(quiet):
                return False
            if quiet > 1.0 and not self._not_in(self.group.committed(), self.undone()):
                self._lost.update(self.undone())
                return True
            wait_for(lambda: len(self.sink.effects()) != told, 0.2, interval=LOOK_INTERVAL)  # noqa: B023
        return True

    def tell(self, mistake: str, sentence: str, *, task: str | None = None, who: str | None = None) -> None:
        """Keep what was found."""
        self.found.append(Feedback(mistake, sentence, mistakes.HINTS[mistake], task=task, who=who, at=self.sink.now()))

    def cut(self, mistake: str, sentence: str, *, who: str | None = None) -> RunCut:
        """Keep what was found; to be raised."""
        self.tell(mistake, sentence, who=who)
        return RunCut()

    # --- what it asks

    def begun(self, worker: StudentWorker) -> int:
        """How many tasks this worker has begun."""
        return sum(effect.what == "began" and effect.worker == worker.name for effect in self.sink.effects())

    def done(self) -> set[str]:
        """The tasks that were done, by anybody."""
        return {effect.task for effect in self.sink.effects() if effect.what == "done"}

    def undone(self) -> list[str]:
        """The tasks that nobody has done."""
        done = self.done()
        return [task for task in self.tasks if task not in done]

    def uncommitted(self, effects: Iterable[Effect], committed: dict[int, int]) -> list[str]:
        """Of these, the tasks that were done and would be done again."""
        done = dict.fromkeys(effect.task for effect in effects if effect.what == "done" and effect.task in self.tasks)
        return self._not_in(committed, done)

    def judge(self) -> list[Feedback]:
        """All that was found, the causes first: also what the checker says of what workers did."""
        is_spoilt = any(feedback.mistake == mistakes.ABUSE for feedback in self.found)
        if not is_spoilt and self.is_one_group and any(worker.works for worker in self.workers):
            self._check_history()
        return told(self.found)

    def _check_history(self) -> None:
        self.partitions_now()
        effects, committed = self.sink.effects(), self.group.committed()
        for task in dict.fromkeys(effect.task for effect in effects if effect.task not in self.tasks):
            self.tell(mistakes.UNKNOWN_TASK, f"It worked on {quoted(task)}, which is no task on the topic.", task=task)
        self.found += mistakes_in(run_history(self.tasks, effects, committed), excused=self.excused)

    def partitions_now(self) -> int:
        """How many partitions the topic has. Raises `UnknownTopic` if it was deleted, and one of its name was made."""
        shape = topic_shape(self.client, self.topic)
        if shape is None or self._shape is None or shape[0] != self._shape[0]:
            raise UnknownTopic(f"The topic {self.topic!r} was deleted, and may have been made anew.")
        return shape[1]

    def records(self) -> list[TopicRecord]:
        """What the submission has written to the topic. Raises `RunCut` for what cannot be read of it."""
        try:
            return read_records(self.client, self.topic, partitions=self.partitions)
        except HistoryUnreadable as error:
            raise self.cut(mistakes.ABUSE, str(error)) from error

    def _not_in(self, committed: dict[int, int], tasks: Iterable[str]) -> list[str]:
        """Of these tasks, those that are not committed."""
        places = {task: self.tasks[task] for task in tasks}
        return [task for task, (partition, offset) in places.items() if offset >= committed.get(partition, 0)]

    def _tasks_in_turn(self, count: int) -> list[NewRecord]:
        tasks = self.new_tasks(count)
        return [NewRecord(task, number % self.partitions, task.encode()) for number, task in enumerate(tasks)]

    def _look_at_workers(self) -> None:
        used_up = self.broker.used_up()
        if used_up is not None:
            raise self.cut(mistakes.ABUSE, used_up)
        if self.time.is_over():
            raise self.cut(mistakes.LEFT, "The run has taken longer than the question's time-out, and was ended.")
        for worker in self.workers:
            fault = self.sink.fault(worker.name)
            if fault is not None:
                raise self.cut(mistakes.ABUSE, fault, who=worker.name)
            wrong = worker.wrong_end()
            if wrong is not None:
                raise self.cut(*wrong, who=worker.name)

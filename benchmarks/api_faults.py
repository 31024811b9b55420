"""Creating messages over HTTP while servers of the API are killed, and while many send the same message at once.

`python -m benchmarks.api_faults --messages 1000 --seeds 1` tries a small one, and keeps nothing of it.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from benchmarks.figure import Figure, measured, never
from benchmarks.report import number
from labkit.api.api_process import ApiProcess
from labkit.api.client import ApiClient
from labkit.api.messages import Message
from labkit.lab import Lab
from labkit.settings import Settings, load_settings
from labkit.taskqueue import connect
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import read_topic

AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")
TOPIC = "orders"
#: Servers, senders, and how often one server is killed while the messages are created.
SERVERS, SENDERS, KILLS = 2, 8, 5
#: How many send the same message at once.
IDENTICAL = 100
#: How long a client sends a request again, in seconds.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done: so many messages, with each of the seeds."""

    messages: int = 5_000
    seeds: Sequence[int] = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of the messages of one run."""

    lost: int
    twice: int
    seconds: float


def measure(size: Size | None = None) -> Iterator[Figure]:
    """Each run on a lab of its own: about two minutes."""
    size = size or Size()
    runs = [_killed(size.messages, seed) for seed in size.seeds]
    how = (
        f"{size.messages} messages, one per request, from {SENDERS} clients to {SERVERS} servers; {KILLS} times at "
        "moments drawn from the seed one server is killed by SIGKILL and started again at its port. The clients send "
        "again what was not answered. Then the topic is read and compared with the answers."
    )
    longest = {"the longest run in s": max(run.seconds for run in runs)}
    yield never(
        "api_faults_lost",
        "API servers killed: messages lost",
        [run.lost for run in runs],
        unit="messages",
        how=how,
        beside=longest,
    )
    yield never(
        "api_faults_twice",
        "API servers killed: messages queued twice",
        [run.twice for run in runs],
        unit="messages",
        how=how,
    )
    yield _identical()


def _killed(messages: int, seed: int) -> Run:
    rng = random.Random(seed)
    settings = load_settings(api_max_lag=10**9)
    with Lab() as lab, ExitStack() as stack:
        crew = _Crew(lab, settings)
        stack.callback(crew.stop)
        began = time.monotonic()
        answers = _create_while(crew, _messages(messages), [rng.uniform(0.05, 0.95) for _ in range(KILLS)], rng)
        seconds = time.monotonic() - began
        queued = _on_the_topic(lab, settings)
    lost = sum(message_id not in queued for message_id in answers) + messages - len(set(answers))
    twice = sum(times - 1 for times in queued.values())
    print(f"  seed {seed}: lost {lost}, twice {twice}, {seconds:.0f} s", flush=True)
    return Run(lost=lost, twice=twice, seconds=seconds)


class _Crew:
    """Servers at ports that stay the same, however often one is killed."""

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self._lab = lab
        self._settings = settings
        self._servers = [ApiProcess(lab, name=f"api-{turn}", settings=settings) for turn in range(SERVERS)]
        for server in self._servers:
            server.launch()
        for server in self._servers:
            server.wait_until_ready()
        self.urls = [server.url for server in self._servers]

    def kill(self, turn: int) -> None:
        """SIGKILL this one, and start it again at its port."""
        old = self._servers[turn]
        old.kill()
        self._servers[turn] = ApiProcess(self._lab, port=old.port, name=old.name, settings=self._settings).start()

    def stop(self) -> None:
        """End all."""
        for server in self._servers:
            server.stop()


def _create_while(crew: _Crew, messages: Sequence[Message], shares: Sequence[float], rng: random.Random) -> list[UUID]:
    """Create all, one by one, and kill a server whenever such a share of them is done."""
    done, lock = count(1), threading.Lock()
    reached = {max(1, int(share * len(messages))): threading.Event() for share in shares}

    def send(share: Sequence[Message], urls: Sequence[str]) -> list[UUID]:
        ids: list[UUID] = []
        with ApiClient(*urls, patience=PATIENCE) as client:
            for message in share:
                ids += client.create([message])
                with lock:
                    event = reached.get(next(done))
                if event is not None:
                    event.set()
        return ids

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [
            pool.submit(send, messages[turn::SENDERS], _turned(crew.urls, turn % SERVERS)) for turn in range(SENDERS)
        ]
        for _, event in sorted(reached.items()):
            while not event.wait(0.1):
                for sender in senders:
                    if sender.done():
                        sender.result()  # raises what it ended with
            crew.kill(rng.randrange(SERVERS))
        return [message_id for sender in senders for message_id in sender.result()]


def _identical() -> Figure:
    message = _messages(1)
    with Lab() as lab, ExitStack() as stack:
        settings = load_settings()
        crew = _Crew(lab, settings)
        stack.callback(crew.stop)
        together = threading.Barrier(IDENTICAL)

        def send(turn: int) -> list[UUID]:
            with ApiClient(crew.urls[turn % SERVERS], patience=PATIENCE) as client:
                together.wait()
                return client.create(message)

        with ThreadPoolExecutor(IDENTICAL) as pool:
            answers = list(pool.map(send, range(IDENTICAL)))
        queued = sum(_on_the_topic(lab, settings).values())
    different = len({tuple(answer) for answer in answers})
    return measured(
        "api_identical",
        f"{IDENTICAL} equal messages at once over {SERVERS} servers: messages on the topic",
        [queued],
        unit="messages",
        better="lower",
        at_least=1,
        aim=1,
        how=f"{IDENTICAL} clients, each with a connection and an Idempotency-Key of its own, send the same message.",
        beside={"different ids in the answers": different},
        judged="worst",
    )


def _on_the_topic(lab: Lab, settings: Settings) -> Counter[UUID]:
    """How often each id stands on the topic."""
    with connect(lab) as topics:
        topic = topics.get(TOPIC)
        return Counter(UUID(Task.decode(record).id) for record in read_topic(topic.transport, topic.full_name))


def _messages(how_many: int) -> list[Message]:
    now = datetime.now(UTC)
    return [
        Message(timestamp=now + timedelta(milliseconds=turn), title=f"{turn}", body="", author=AUTHOR, topic=TOPIC)
        for turn in range(how_many)
    ]


def _turned(urls: Sequence[str], by: int) -> list[str]:
    return [*urls[by:], *urls[:by]]


def main() -> None:
    """Runs of the size asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_faults", description="Runs of any size.")
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    for figure in measure(Size(messages=asked.messages, seeds=range(1, asked.seeds + 1))):
        print(
            f"  {figure.what}: {number(figure.value, figure.unit)}, reached: {figure.reached or '-'}, {figure.beside}"
        )


if __name__ == "__main__":
    main()

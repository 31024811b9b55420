"""Creating messages over HTTP: in batches against the raw producer, and one by one at a steady rate."""

from __future__ import annotations

import gc
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import islice
from queue import SimpleQueue
from uuid import UUID, uuid4

import httpx
import numpy as np

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.rivals import KafkaPythonSender, producer_settings
from labkit.api.api_process import ApiProcess
from labkit.api.messages import Message
from labkit.api.messages.message import encode_message
from labkit.api.server import SWITCH_INTERVAL
from labkit.lab import Lab
from labkit.settings import load_settings
from labkit.taskqueue import connect
from labkit.taskqueue.arrivals import poisson

AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")
BODY = "x" * 100
TOPIC, PARTITIONS = "orders", 2
JSON = {"Content-Type": "application/json"}

#: Messages per run and per request, and how many senders share a run.
MESSAGES, BATCH, SENDERS = 10_000, 100, 4
REPEATS = 5

#: Requests per second, for so many seconds, after so many that are not counted.
RATE, SECONDS, WARM_UP = 200.0, 15.0, 1000
#: So many requests may be under way.
CONNECTIONS = 32
SEED = 6


def measure() -> Iterator[Figure]:
    """One server on a lab of its own: about a minute and a half."""
    settings = load_settings(api_max_lag=10**9)
    with Lab() as lab, ApiProcess(lab, settings=settings) as api:
        yield _batches(lab, api.url)
        yield from _singles(api.url)


def _batches(lab: Lab, url: str) -> Figure:
    with connect(lab) as topics, topics.fresh("raw", partitions=PARTITIONS) as topic:
        over_http, by_hand = alternate(
            lambda: _send_batches(url, _messages(MESSAGES)),
            lambda: _send_raw(lab, topic.full_name, _messages(MESSAGES)),
            repeats=REPEATS,
        )
    return measured(
        "api_create_batches",
        f"messages created over HTTP in batches of {BATCH} against the raw producer",
        ratios(over_http, by_hand),
        unit="share",
        better="higher",
        at_least=0.25,
        aim=0.60,
        how=f"{MESSAGES} new messages with a body of {len(BODY)} characters; {SENDERS} senders, each with one "
        "connection, send requests written beforehand to one server; from the first request to the last answer.",
        rival="a loop by hand over kafka-python: the same records, encoded beforehand, every acknowledgement checked.",
        rival_settings=producer_settings("kafka-python"),
        beside={
            "over HTTP in messages/s": statistics.median(over_http),
            "the rival in records/s": statistics.median(by_hand),
        },
    )


def _send_batches(url: str, messages: Sequence[Message]) -> float:
    bodies = [_body(messages[at : at + BATCH]) for at in range(0, len(messages), BATCH)]
    shares = [bodies[turn::SENDERS] for turn in range(SENDERS)]

    def send(share: Sequence[bytes]) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            for body in share:
                client.post("/message/create", content=body, headers=JSON).raise_for_status()

    gc.collect()
    with ThreadPoolExecutor(SENDERS) as pool:
        began = time.perf_counter()
        list(pool.map(send, shares))
        return len(messages) / (time.perf_counter() - began)


def _send_raw(lab: Lab, topic: str, messages: Sequence[Message]) -> float:
    encoded = []
    for number, message in enumerate(messages):
        _, value, headers = encode_message(message, message.id, at=time.time())
        encoded.append((value, list(headers), number % PARTITIONS))
    sender = KafkaPythonSender(lab.connection)
    try:
        sender.send(topic, encoded[:100])  # connected and warm
        gc.collect()
        began = time.perf_counter()
        sent = sender.send(topic, encoded)
        return sent / (time.perf_counter() - began)
    finally:
        sender.close()


def _singles(url: str) -> Iterator[Figure]:
    latencies = _open_loop(url, list(islice(poisson(RATE, random.Random(SEED)), WARM_UP + int(RATE * SECONDS))))
    how = (
        f"One message per request, {RATE:g} requests/s by a Poisson process (seed {SEED}) for {SECONDS:g} s after "
        f"{WARM_UP} requests; open loop: from the moment at which a request was due to its answer; at most "
        f"{CONNECTIONS} at once, from the standard library's client, which takes less of the computer than others."
    )
    for name, quantile, at_least, aim in (("p50", 0.50, 15.0, 6.0), ("p99", 0.99, 60.0, 25.0)):
        yield measured(
            f"api_create_{name}",
            f"create of one message over HTTP at {RATE:g}/s: {name}",
            [float(np.quantile(latencies, quantile)) * 1000],
            unit="ms",
            better="lower",
            at_least=at_least,
            aim=aim,
            how=how,
            beside={"the slowest in ms": max(latencies) * 1000},
        )


def _open_loop(url: str, schedule: Sequence[float]) -> list[float]:
    """The latency of each request but the first ones, in seconds, counted from when it was due."""
    bodies = [_body([message]) for message in _messages(len(schedule))]
    never = threading.Event()
    connections = SimpleQueue[HTTPConnection]()
    for _ in range(CONNECTIONS):
        connections.put(HTTPConnection(url.removeprefix("http://"), timeout=60))

    def send(body: bytes, due: float) -> float:
        connection = connections.get()
        connection.request("POST", "/message/create", body, JSON)
        answer = connection.getresponse()
        answer.read()
        took = time.perf_counter() - due
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"the server answered {answer.status}")
        connections.put(connection)
        return took

    with ThreadPoolExecutor(CONNECTIONS) as pool, _quick_turns():
        answers = []
        gc.collect()
        gc.freeze()  # a full collection of ours would count as the server's time
        began = time.perf_counter() + 0.1
        for body, offset in zip(bodies, schedule, strict=True):
            due = began + offset
            never.wait(max(0.0, due - time.perf_counter()))
            answers.append(pool.submit(send, body, due))
        return [answer.result() for answer in answers][WARM_UP:]


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Or a thread that has its answer would wait up to 5 ms for its turn, and that would count as the server's time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _messages(count: int) -> list[Message]:
    name, now = uuid4().hex, datetime.now(UTC)
    return [
        Message(
            timestamp=now + timedelta(milliseconds=number),
            title=f"{name} {number}",
            body=BODY,
            author=AUTHOR,
            topic=TOPIC,
        )
        for number in range(count)
    ]


def _body(messages: Sequence[Message]) -> bytes:
    return json.dumps([message.payload() for message in messages]).encode()


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.what}: {figure.value:.3f} {figure.unit} {figure.values}, {figure.reached}; {figure.beside}")

"""Records that no task can be made of, as any client may write them: each is a dead letter, and nobody stops."""

from __future__ import annotations

import json
from contextlib import closing

import confluent_kafka
import kafka
import pytest

from labkit.settings import Settings
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, new_task
from labkit.taskqueue.dead_letters import DeadLetters

SETTINGS = Settings(_env_file=None)


class NoText(str):
    """A name of a header whose bytes are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"n\xff\xfeme"


KEY, VALUE, HEADERS = new_task("k", {"number": 1}).encode()
FIELDS = json.loads(VALUE)
#: What is said of each, and the record: its value and its headers.
BAD = {
    "'trace' has no value": (VALUE, [*HEADERS, ("trace", None)]),
    "'task-id' has no value": (VALUE, [("task-id", None), *HEADERS[1:]]),
    "the name of a header is no UTF-8": (VALUE, [*HEADERS, (NoText("name"), b"x")]),
    "Expected `int`": (json.dumps(FIELDS | {"priority": 2**63}).encode(), HEADERS),
    "has no room in 64 bits": (VALUE, [("attempt", b"%d" % 2**64) if n == "attempt" else (n, v) for n, v in HEADERS]),
    "kind": (json.dumps(FIELDS | {"kind": None}).encode(), HEADERS),
    "can't decode byte 0xff": (
        VALUE,
        [("task-id", b"\xff") if name == "task-id" else (name, value) for name, value in HEADERS],
    ),
    "it has no value": (None, HEADERS),
}


def write(servers: str, topic: str, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """By the client that can: one takes no null for a header's value, the other makes the bytes of a name itself."""
    if any(isinstance(name, NoText) for name, _ in headers):
        with closing(kafka.KafkaProducer(bootstrap_servers=servers)) as client:
            client.send(topic, value=value, headers=headers).get(60)
    else:
        client = confluent_kafka.Producer({"bootstrap.servers": servers})
        client.produce(topic, value=value, headers=headers)
        assert client.flush(60) == 0


@pytest.fixture(params=["kafka-python", "confluent-kafka", "share"])
def group(request: pytest.FixtureRequest, lab, unique_name):
    """A group on a topic with all of the bad records, each followed by a task."""
    library = "confluent-kafka" if request.param == "share" else request.param
    with connect(lab, transport=library) as topics:
        topic = topics.create(unique_name, partitions=1)
        with Producer(topic, settings=SETTINGS) as producer:
            for value, headers in BAD.values():
                write(lab.bootstrap_servers, topic.full_name, value, list(headers))
                producer.send(new_task("k"))
        options = {"mode": "share"} if request.param == "share" else {"retry": None}
        with WorkerGroup(topic, group=unique_name, settings=SETTINGS, **options) as group:
            yield group


def test_each_is_a_dead_letter_and_the_tasks_behind_it_are_done(group: WorkerGroup) -> None:
    records = group.drain(timeout=120)
    counts = records["outcome"].value_counts().to_dict()
    assert counts == {"done": len(BAD), "bad": len(BAD)}
    letters = DeadLetters(Topics.of(group.topic), group.topic.name).list()
    assert len(letters) == len(BAD)
    for said, letter in zip(BAD, letters, strict=True):
        assert said in letter.error


@pytest.mark.parametrize("library", ["kafka-python", "confluent-kafka"])
def test_whatever_others_have_compressed_their_records_with_is_read(lab, unique_name, library) -> None:
    """A batch that a client could not unpack would end every worker that comes to it."""
    codecs = ("gzip", "snappy", "lz4", "zstd")
    with connect(lab, transport=library) as topics:
        topic = topics.create(unique_name, partitions=1)
        for codec in codecs:
            client = confluent_kafka.Producer({"bootstrap.servers": lab.bootstrap_servers, "compression.type": codec})
            client.produce(topic.full_name, value=new_task(codec, codec * 1000).encode()[1], headers=list(HEADERS))
            assert client.flush(60) == 0
        with WorkerGroup(topic, group=unique_name, settings=SETTINGS) as group:
            records = group.drain(timeout=120)
    assert list(records["kind"]) == list(codecs)
    assert set(records["outcome"]) == {"done"}

"""What dead letters must do over every transport. The module that runs these tests gives `topics`."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from labkit.errors import BadRecord, NotReplayable, TransportError, UnknownDeadLetter, UnknownTopic
from labkit.taskqueue import new_task
from labkit.taskqueue.dead_letter import dead_topic, encode_dead_letter, ensure_dead_topic
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport import ConsumerConfig, Record, TopicPartition
from tests.contract.fixtures import TIMEOUT

AT = 1_700_000_000.25


@pytest.fixture
def topic(topics, unique_name):
    topic = topics.create(unique_name, partitions=2)
    ensure_dead_topic(topic)
    yield topic
    topics.delete(dead_topic(unique_name))
    topics.delete(unique_name)


@pytest.fixture
def write(topics, unique_name):
    with closing(topics.transport.transactions(unique_name)) as client:
        yield client.write


@pytest.fixture
def letters(topics, topic):
    return DeadLetters(topics, topic.name)


def record_of(topic, task, *, partition=1, offset=17):
    key, value, headers = task.encode()
    return Record(topic.full_name, partition, offset, key, value, (*headers, ("mine", b"\xff\x00")), 5)


def given_up(topic, record, *, error="ValueError: no", at=AT, **more):
    return encode_dead_letter(topic, record, error=error, attempts=3, worker="worker-1", at=at, **more)


def some(topic, count):
    """Dead letters of so many tasks."""
    return [given_up(topic, record_of(topic, new_task("stock", n), offset=n, partition=n % 2)) for n in range(count)]


def on_topic(topics, topic):
    """All records that are on the topic itself."""
    records = []
    with closing(topic.transport.consumer(ConsumerConfig())) as reader:
        ends = {TopicPartition(topic.full_name, p): end for p, end in topics.end_offsets(topic.name).items()}
        reader.assign(list(ends))

        def all_read():
            records.extend(reader.poll(0.05))
            return all((reader.position(partition) or 0) >= end for partition, end in ends.items())

        wait_until(all_read, timeout=TIMEOUT, what=f"{topic.name} was to be read", pause=lambda _: None)
    return records


def test_the_topic_of_dead_letters_is_made_once_and_compacted(topics, topic):
    ensure_dead_topic(topic)
    found = topics.describe(dead_topic(topic.name))
    assert (found.partitions, found.config["cleanup.policy"]) == (1, "compact")


def test_a_letter_tells_all(topic, letters, write):
    task = new_task("stock", {"n": 1}, key="k", priority=2, idempotency_key="i")
    record = record_of(topic, task)
    write([given_up(topic, record, error="ValueError: no\n  at line 1 …")])
    [letter] = letters.list()
    assert letter.id == f"{topic.name}/1/17"
    assert (letter.topic, letter.partition, letter.offset) == (topic.name, 1, 17)
    assert (letter.key, letter.value, letter.headers) == (record.key, record.value, record.headers)
    assert (letter.attempts, letter.worker, letter.at) == (3, "worker-1", AT)
    assert letter.error == "ValueError: no\n  at line 1 …"
    assert letter.task() == task.evolve(topic=topic.name, headers=(("mine", b"\xff\x00"),))
    assert letters.get(letter.id) == letter


def test_a_letter_and_its_tombstone_tell_whose_it_is(topics, topic, letters, write):
    first, second = (record_of(topic, new_task("stock"), offset=offset) for offset in (0, 1))
    write([given_up(topic, first, group="worker_group"), given_up(topic, second)])
    assert [letter.group for letter in letters.list()] == ["worker_group", None]
    assert letters.replay([f"{topic.name}/1/0"]) == letters.drop([f"{topic.name}/1/1"]) == 1
    gone = [record.headers for record in read_topic(topic.transport, dead_topic(topic.full_name)) if not record.value]
    assert gone == [(("dead-gone", b"replayed"), ("dead-group", b"worker_group")), (("dead-gone", b"dropped"),)]


#: What a topic takes from clients of others is more than labkit's own would send, and may be all key.
NO_TASKS = [(None, b"no task"), (b"k", None), (b"", b""), (b"k", b"x" * 1_048_000), (b"k" * 1_048_000, b"")]


@pytest.mark.parametrize(("key", "value"), NO_TASKS, ids=["value", "key", "empty", "large value", "large key"])
def test_what_is_no_task_is_kept_as_it_was(topics, topic, letters, write, key, value):
    write([given_up(topic, Record(topic.full_name, 0, 4, key, value, (), 5))])
    [letter] = letters.list()
    assert (letter.key, letter.value, letter.headers) == (key, value, ())
    with pytest.raises(BadRecord, match=f"{topic.name}, partition 0, offset 4"):
        letter.task()
    assert letters.replay([letter.id]) == 1
    [record] = on_topic(topics, topic)
    assert (record.key, record.value, record.headers) == (key, value, ())


def test_a_record_that_held_nothing_is_kept_and_not_put_back(topics, topic, letters, write):
    """Clients of others can write one, and labkit's cannot."""
    write([given_up(topic, Record(topic.full_name, 0, 4, None, None, (), 5)), *some(topic, 1)])
    letter = letters.get(f"{topic.name}/0/4")
    assert (letter.key, letter.value, letter.omitted) == (None, None, False)
    with pytest.raises(NotReplayable, match=r"0/4.*neither key nor value.*drop the letter"):
        letters.replay([f"{topic.name}/0/0", letter.id])
    count, left = letters.replay_all()
    assert (count, list(left)) == (1, [letter.id])
    assert letters.drop([letter.id]) == 1
    assert letters.list() == []


def test_letters_are_listed_in_the_order_in_which_they_came(topic, letters, write):
    first, second, third = some(topic, 3)
    write([first])
    write([second, third])
    assert [letter.offset for letter in letters.list()] == [0, 1, 2]


def test_a_letter_that_is_written_twice_is_one(topic, letters, write):
    record = record_of(topic, new_task("stock"))
    write([given_up(topic, record, error="first")])
    write([given_up(topic, record, error="second")])
    assert [letter.error for letter in letters.list()] == ["second"]


def test_letters_of_a_topic_that_was_made_anew_stay_beside_those_of_the_new_one(topics, topic, letters, write):
    """From one place, in three lives of the topic, of the first of which an older labkit has told nothing."""
    place = f"{topic.name}/1/17"
    tasks = [new_task("stock", n) for n in range(3)]
    for task, topic_id in zip(tasks, ("", "first-1", "second-2"), strict=True):
        write([given_up(topic, record_of(topic, task), topic_id=topic_id)])
    ids = [place, f"{place}/first-1", f"{place}/second-2"]
    assert [letter.id for letter in letters.list()] == ids
    assert [letters.get(letter_id).task().id for letter_id in ids] == [task.id for task in tasks]
    assert [letter.topic_id for letter in letters.list()] == ["", "first-1", "second-2"]
    assert letters.drop([place]) == 1
    with pytest.raises(UnknownDeadLetter, match=f"any of 2 dead letters: {ids[1]}, {ids[2]}. Name the one"):
        letters.get(place)
    assert letters.replay(ids[2:]) == 1
    [back] = on_topic(topics, topic)
    assert Task.decode(back).id == tasks[2].id
    [left] = letters.list()
    assert (left.id, left.task().id) == (place, tasks[1].id)
    assert letters.get(ids[1]) == left
    assert letters.replay([place, ids[1]]) == 1
    assert letters.list() == []


def test_a_replayed_record_is_where_it_was_and_the_letter_gone(topics, topic, letters, write):
    record = record_of(topic, new_task("stock", key="k"))
    write([given_up(topic, record)])
    assert letters.replay([f"{topic.name}/1/17"]) == 1
    [back] = on_topic(topics, topic)
    assert (back.partition, back.key, back.value, back.headers) == (1, record.key, record.value, record.headers)
    assert letters.list() == []


def test_replaying_twice_sends_once(topics, topic, letters, write):
    write(some(topic, 3))
    chosen = [f"{topic.name}/0/0", f"{topic.name}/1/1", f"{topic.name}/0/0"]
    assert letters.replay(chosen) == 2
    with pytest.raises(UnknownDeadLetter, match="0/0"):
        letters.replay([f"{topic.name}/0/2", f"{topic.name}/0/0"])
    assert [letter.offset for letter in letters.list()] == [2]
    assert letters.replay([f"{topic.name}/0/2"]) == 1
    assert sorted(record.partition for record in on_topic(topics, topic)) == [0, 0, 1]


def test_many_who_replay_at_once_send_once(topics, topic, letters, write):
    write(some(topic, 10))
    ids = [letter.id for letter in letters.list()]

    def replay(_):
        try:
            return DeadLetters(topics, topic.name).replay(ids)
        except (TransportError, UnknownDeadLetter):
            return 0  # somebody else was quicker

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(replay, range(4)))
    if letters.list():  # each may have stopped another
        done.append(letters.replay(ids))
    assert sum(done) == 10
    records = on_topic(topics, topic)
    assert len({record.value for record in records}) == len(records) == 10


def test_all_that_can_be_are_put_back_and_the_others_stay(topics, topic, letters, write):
    elsewhere = record_of(topic, new_task("stock"))._replace(partition=7)
    write([*some(topic, 3), given_up(topic, elsewhere)])
    count, left = letters.replay_all()
    assert (count, list(left)) == (3, [f"{topic.name}/7/{elsewhere.offset}"])
    assert len(on_topic(topics, topic)) == 3
    assert [letter.id for letter in letters.list()] == list(left)
    assert letters.replay_all() == (0, left)


def test_a_dropped_letter_is_gone_and_nothing_is_sent(topics, topic, letters, write):
    write(some(topic, 3))
    assert letters.drop([f"{topic.name}/1/1", f"{topic.name}/0/2"]) == 2
    assert [letter.offset for letter in letters.list()] == [0]
    with pytest.raises(UnknownDeadLetter):
        letters.drop([f"{topic.name}/1/1"])
    assert on_topic(topics, topic) == []


def test_no_ids_are_no_error(letters):
    assert (letters.replay([]), letters.drop([])) == (0, 0)


def test_what_is_not_there_is_named(topics, topic, letters, unique_name):
    with pytest.raises(UnknownDeadLetter, match=f"{unique_name} has no dead letter 'x'"):
        letters.get("x")
    other = topics.create(unique_name + "-2", partitions=1)  # without a topic of dead letters
    assert DeadLetters(topics, other.name).list() == []
    with pytest.raises(UnknownDeadLetter, match="no dead letter"):
        DeadLetters(topics, other.name).replay([f"{other.name}/0/0"])
    topics.delete(other.name)
    with pytest.raises(UnknownTopic, match="unknown"):
        DeadLetters(topics, unique_name + "-unknown").list()


def test_what_is_no_letter_is_left_out_and_said(topic, letters, write, caplog):
    [letter] = some(topic, 1)
    write([letter._replace(headers=()), letter._replace(key=b"x", headers=(("dead-topic", b"t"),)), letter])
    assert [found.offset for found in letters.list()] == [0]
    said = [record.message for record in caplog.records if record.name == "labkit.taskqueue.dead_letters"]
    assert [message.split(",")[1] for message in said] == [" offset 0", " offset 1"]


def test_a_letter_that_nobody_could_bring_away_or_show_is_none(topic, letters, write):
    """One under another key would be put back again with every replay, since no tombstone reaches it."""
    [letter] = some(topic, 1)
    strange = [given_up(topic, record_of(topic, new_task("stock"), offset=9), at=at) for at in (math.nan, 1e300, -1.0)]
    write([letter._replace(key=b"another"), *strange, letter])
    assert [found.id for found in letters.list()] == [letter.key.decode()]
    assert letters.replay([letter.key.decode()]) == 1
    assert letters.list() == []


def test_a_letter_of_a_letter_is_told_apart(topics, topic, write):
    record = record_of(topic, new_task("stock"))
    dead = topics.get(dead_topic(topic.name))
    ensure_dead_topic(dead)
    first = given_up(topic, record, error="first")
    again = Record(dead.full_name, 0, 3, first.key, first.value, first.headers, 5)
    write([given_up(dead, again, error="second")])
    [letter] = DeadLetters(topics, dead.name).list()
    assert (letter.topic, letter.offset, letter.error) == (dead.name, 3, "second")
    assert (letter.key, letter.headers) == (first.key, first.headers)
    topics.delete(dead_topic(dead.name))

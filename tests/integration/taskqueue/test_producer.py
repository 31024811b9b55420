"""The producer on the real broker: what its settings do to what arrives."""

import itertools

import pytest

from labkit.errors import NotAcknowledged, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue import Producer, Task, WorkerGroup, connect, new_task, stock_tasks
from labkit.taskqueue.arrivals import constant
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.kafka_python import producer as kafka_python


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(request, lab):
    with connect(lab, transport=request.param) as topics:
        yield topics


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"acks": "1"},
        {"acks": "0"},
        {"compression": "lz4"},
        *(
            pytest.param(more, marks=pytest.mark.long)
            for more in ({"compression": "gzip"}, {"linger_ms": 0}, {"retries": 0})
        ),
    ],
    ids=str,
)
def test_every_setting_delivers_every_task(topics, unique_name, changes):
    settings = Settings(_env_file=None, **changes)
    tasks = stock_tasks(50, seed=1, keys=7)
    with topics.fresh(unique_name, partitions=2) as topic:
        with Producer(topic, settings=settings) as producer:
            receipts = producer.send_many(tasks)
        assert [receipt.task_id for receipt in receipts] == [task.id for task in tasks]
        with WorkerGroup(topic, group=unique_name, settings=settings) as group:
            records = group.drain(timeout=120)
    assert set(records["task_id"]) == {task.id for task in tasks}
    if settings.acks != "0":  # without an acknowledgement nobody learns the offset
        where = records.set_index("task_id")[["partition", "offset"]]
        assert all(tuple(where.loc[r.task_id]) == (r.partition, r.offset) for r in receipts)


def test_what_the_broker_refuses_is_not_reported_as_sent(topics, unique_name):
    settings = Settings(_env_file=None)
    with topics.fresh(unique_name, partitions=1) as topic, Producer(topic, settings=settings) as producer:
        with pytest.raises(NotAcknowledged, match="1 of 2 tasks"):
            producer.send_many([new_task("k", "x" * 2_000_000), new_task("k")])
        assert topics.end_offsets(unique_name) == {0: 1}


def test_an_open_loop_schedule_reaches_the_records(topics, unique_name):
    settings = Settings(_env_file=None)
    with topics.fresh(unique_name, partitions=2) as topic:
        with Producer(topic, settings=settings) as producer:
            producer.submit_on_schedule(stock_tasks(40, seed=1), constant(200))
            producer.flush()
            receipts = producer.receipts()
        with WorkerGroup(topic, group=unique_name, settings=settings) as group:
            records = group.drain(timeout=120)
    due = receipts.set_index("task_id")["scheduled_at"]
    assert records.set_index("task_id")["scheduled_at"].to_dict() == due.to_dict()
    assert (receipts["lateness"] >= 0).all()
    # 40 tasks, 5 ms apart
    assert due.max() - due.min() == pytest.approx(39 * 0.005)


def test_a_topic_made_anew_with_fewer_partitions_is_gone_on_with_and_receipts_are_true(topics, unique_name):
    """What is on its way to a partition that is gone is refused; the client may need a moment to see the new topic."""
    settings = Settings(_env_file=None, delivery_timeout=5)
    topic, receipts, seeds = topics.create(unique_name, partitions=4), [], itertools.count()
    with Producer(topic, settings=settings, on_receipt=receipts.append) as producer:

        def all_arrive() -> bool:
            try:
                producer.send_many(stock_tasks(8, seed=next(seeds), keys=7))
            except (NotAcknowledged, UnknownTopic):
                return False
            return True

        wait_until(all_arrive, timeout=120, what="tasks were to go to the four partitions")
        receipts.clear()
        topics.recreate(unique_name, partitions=1)
        wait_until(all_arrive, timeout=120, what="tasks were to go to the partition that is there")
    acknowledged = [receipt for receipt in receipts if receipt.error is None]
    written = {record.offset: Task.decode(record).id for record in read_topic(topics.transport, topic.full_name)}
    assert len(acknowledged) >= 8
    assert all(receipt.partition == 0 for receipt in acknowledged)
    assert all(written[receipt.offset] == receipt.task_id for receipt in acknowledged)
    topics.delete(unique_name)


@pytest.mark.parametrize("error", [BrokenPipeError, SystemExit])
def test_what_is_told_of_receipts_costs_no_task_and_no_receipt(topics, unique_name, error):
    told = []

    def tell(receipt):
        told.append(receipt.task_id)
        raise error

    tasks = stock_tasks(2_000, seed=1)
    with topics.fresh(unique_name, partitions=2) as topic:
        with Producer(topic, settings=Settings(_env_file=None), on_receipt=tell) as producer:
            producer.send_many(tasks[:1_000])
            for task in tasks[1_000:]:
                producer.submit(task)
        assert sum(topics.end_offsets(unique_name).values()) == len(tasks)
    assert sorted(told) == sorted(task.id for task in tasks)


@pytest.mark.parametrize("topics", ["kafka-python"], indirect=True)  # of librdkafka, see test_confluent_flush.py
def test_an_on_receipt_that_submits_does_not_wait_for_the_thread_it_is_on(topics, unique_name, monkeypatch):
    """The buffer is full already: what it waits for there, only that thread could acknowledge."""
    monkeypatch.setattr(kafka_python, "BUFFER_BYTES", 2)
    monkeypatch.setattr(kafka_python, "CHUNK_BYTES", 1)
    settings = Settings(_env_file=None, delivery_timeout=5)
    first, more, receipts = new_task("k"), stock_tasks(20, seed=1), []

    def tell(receipt):
        receipts.append(receipt)
        if receipt.task_id == first.id:
            for task in more:
                producer.submit(task)

    with topics.fresh(unique_name, partitions=1) as topic:
        with Producer(topic, settings=settings, on_receipt=tell) as producer:
            producer.submit(first)
            wait_until(lambda: len(receipts) == 21, timeout=120, what="all were to have receipts")
            producer.submit(new_task("k"))
        assert [receipt.error for receipt in receipts] == [None] * 22
        assert topics.end_offsets(unique_name) == {0: 22}


@pytest.mark.parametrize("topics", ["kafka-python"], indirect=True)
def test_an_on_receipt_that_submits_to_another_producer_waits_for_its_buffer(topics, unique_name, monkeypatch):
    """Its own sender acknowledges meanwhile, and nobody else would bound what it has."""
    monkeypatch.setattr(kafka_python, "BUFFER_BYTES", 2)
    monkeypatch.setattr(kafka_python, "CHUNK_BYTES", 1)
    settings, tasks, chunks = Settings(_env_file=None), stock_tasks(50, seed=1), []
    with topics.fresh(unique_name, partitions=1) as topic, Producer(topic, settings=settings) as onward:

        def tell(receipt):
            onward.submit(new_task("k"))
            chunks.append(len(onward._client._chunks))

        with Producer(topic, settings=settings, on_receipt=tell) as producer:
            for task in tasks:
                producer.submit(task)
        onward.flush()
        assert len(chunks) == 50
        assert max(chunks) <= 2

"""The history of a real run: records, receipts, the log, and the group's commits as Kafka keeps them."""

from __future__ import annotations

from contextlib import closing

import pytest

from labkit.faults import COMMITS_TOPIC, check, from_records, group_commits, read_history, write_history
from labkit.taskqueue import Producer, WorkerGroup, connect, constant, stock_tasks
from labkit.taskqueue.topics import read_topic

TASKS = 300


@pytest.mark.parametrize("transport", ["kafka-python", "confluent-kafka"])
def test_a_run_in_peace_has_no_anomaly_and_its_commits_are_those_of_the_group(lab, unique_name, tmp_path, transport):
    with connect(lab, transport=transport) as topics, topics.fresh(unique_name, partitions=2) as topic:
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(TASKS, seed=1, keys=10))
            receipts = producer.receipts()
        with WorkerGroup(
            topic, workers=2, handler=constant(0.001), order="key", concurrency=4, group=unique_name
        ) as group:
            records = group.drain(timeout=120)
        log = read_topic(topic.transport, COMMITS_TOPIC)
        commits = group_commits(log, group=topic.full_group(unique_name), topic=topic.full_name)
        written = read_topic(topic.transport, topic.full_name)
        history = from_records(records, receipts, written=written, committed=commits)
        with closing(topic.transport.admin()) as admin:
            committed = admin.committed(topic.full_group(unique_name), topic.full_name)
    last = {commit.partition: commit.offset for commit in commits}
    assert last == {partition: position.offset for partition, position in committed.items()}
    verdict = check(read_history(write_history(history, tmp_path / "run.parquet")))
    assert verdict.ok(allow=()), verdict
    assert (verdict.tasks, verdict.attempts) == (TASKS, TASKS)

"""A topic that is there and can be no queue is refused at the start."""

from __future__ import annotations

from contextlib import closing

import kafka
import pytest

from labkit.api.messages import MessageQueues
from labkit.errors import SettingsError
from labkit.taskqueue import Producer, new_task


@pytest.mark.anyio
async def test_one_that_is_compacted_would_lose_messages(lab, topics, make_settings) -> None:
    topics.create("latest", partitions=1, config={"cleanup.policy": "compact"})
    with pytest.raises(
        SettingsError, match="LABKIT_API_TOPICS names 'latest', which is no topic of messages"
    ) as refused:
        async with MessageQueues(lab, make_settings(api_topics="latest")):
            pass
    assert "\n" not in str(refused.value)


@pytest.mark.anyio
async def test_one_of_plain_tasks_would_have_them_made_dead_letters(lab, topics, make_settings) -> None:
    with Producer(topics.create("work", partitions=1)) as producer:
        producer.send_many([new_task("resize", number) for number in range(3)])
    with pytest.raises(SettingsError, match="names 'work', which holds tasks and no messages") as refused:
        async with MessageQueues(lab, make_settings(api_topics="work")):
            pass
    assert "\n" not in str(refused.value)
    assert "work.dead" not in topics.names()


@pytest.mark.anyio
async def test_stray_records_keep_no_queue_from_its_start(lab, topics, make_settings) -> None:
    topic = topics.create("strays", partitions=1)
    with closing(kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers)) as producer:
        for stray in (b"what", b'{"is": "this"}', b"?"):
            producer.send(topic.full_name, stray).get(timeout=60)
    async with MessageQueues(lab, make_settings(api_topics="strays")):
        pass

"""Events of jobs lie where any producer would put them, and no id is drawn twice."""

from __future__ import annotations

import json
from random import Random

from kafka.partitioner import murmur2

from labkit.grading.behaviour.job_events import DONE, JobDraw, home_of, job_event


def test_an_event_says_what_the_job_is_and_lies_where_its_key_belongs() -> None:
    event = job_event("4711", DONE, partitions=4)
    assert json.loads(event.value) == {"job_id": "4711", "status": "DONE", "version": 3}
    assert (event.task, event.key) == ("4711", b"4711")
    assert event.partition == (murmur2(b"4711") & 0x7FFFFFFF) % 4


def test_new_jobs_come_to_each_partition_in_turn_and_none_twice() -> None:
    draw = JobDraw(Random(1))
    events = draw.new(20, partitions=4) + draw.new(20, partitions=4)
    assert [event.partition for event in events] == 2 * [number % 4 for number in range(20)]
    assert len({event.task for event in events}) == 40
    assert all(home_of(event.task, 4) == event.partition for event in events)

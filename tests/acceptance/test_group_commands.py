"""`labkit groups`, as a user types it."""

from __future__ import annotations

import re

import pytest

from labkit.taskqueue import connect
from labkit.taskqueue.timeouts import wait_until
from tests.acceptance.commands import TIMEOUT, ended, further, said


@pytest.fixture
def topic(lab, unique_name):
    with connect(lab) as topics:
        topics.create(unique_name, partitions=2)
        yield unique_name
        topics.delete(unique_name)
        topics.forget_group(unique_name)


def test_a_group_is_shown_at_work_set_back_and_deleted(type_in, topic, lab):
    said(type_in("produce", "--topic", topic, "--count", "6"))
    work = type_in("work", "--topic", topic, "--group", topic)
    with connect(lab) as topics:
        wait_until(
            lambda: sum(one.committed for one in topics.lag(topic, group=topic)) == 6,
            timeout=TIMEOUT,
            what="six tasks were to be done",
        )
    assert re.search(r"classic +Stable +1 ", said(type_in("groups", "list")))
    shown = said(type_in("groups", "describe", topic))
    assert "state Stable, 1 member, lag 0" in shown
    assert re.search(r" 1 +3 +3 +0 +worker-", shown)
    refused = said(type_in("groups", "reset", topic, "--to", "earliest"), status=1)
    assert re.fullmatch(rf"labkit: The group '{topic}' has members \('worker-.*\n", refused)
    ended(work)

    assert re.search(r" 1 +3 +1\b", said(type_in("groups", "reset", topic, "--to", "1")))
    assert "state Empty, 0 members, lag 4" in said(type_in("groups", "describe", topic))
    assert "4 tasks done" in said(type_in("work", "--topic", topic, "--group", topic, "--until-empty"))

    said(type_in("groups", "delete", topic), status=1)  # nobody has said yes
    assert said(type_in("groups", "delete", topic, "--yes")) == f"{topic} is deleted.\n"
    assert said(type_in("groups", "describe", topic), status=1).startswith(f"labkit: There is no group '{topic}'.")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("groups", "reset", "nobody", "--to", "soon"), "--to 'soon' is neither earliest, latest, an offset"),
        further(("groups", "delete", "nobody", "--yes"), "There is no group 'nobody'."),
        further(("groups", "reset", "nobody", "--to", "latest"), "There is no group 'nobody'."),
    ],
)
def test_mistakes_get_one_paragraph(type_in, words, reason):
    err = said(type_in(*words), status=1)
    assert err.startswith(f"labkit: {reason}")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.long
def test_without_a_broker_the_way_on_is_named(type_in):
    err = said(type_in("groups", "list", LABKIT_BOOTSTRAP_SERVERS="127.0.0.1:1"), status=1)
    assert err.startswith("labkit: Kafka at 127.0.0.1:1 does not answer.")


SHARE = {"LABKIT_TRANSPORT": "confluent-kafka"}
ALL = ("--service", "constant:1ms", "--until-empty")


def test_a_share_group_and_a_consumer_group_of_one_name_are_told_apart_whichever_came_first(type_in, topic):
    said(type_in("produce", "--topic", topic, "--count", "2"))
    work = ("work", "--topic", topic, *ALL, "--group")
    shared, dealt_out = f"{topic}-shared", f"{topic}-dealt-out"
    assert "2 tasks done" in said(type_in(*work, shared, "--mode", "share", **SHARE))
    assert "2 tasks done" in said(type_in(*work, dealt_out))
    for words, more in (
        ((*work, shared), {}),
        ((*work, shared), SHARE),
        (("topics", "describe", topic, "--group", shared), {}),
        (("produce", "--topic", topic, "--backpressure", "pause:high=9,low=5", "--group", shared), {}),
    ):
        complaint = said(type_in(*words, **more), status=1)
        assert f"The group '{shared}' is a share group" in complaint
        assert f"`labkit groups delete {shared}` frees the name" in complaint
    complaint = said(type_in(*work, dealt_out, "--mode", "share", **SHARE), status=1)
    assert f"The group '{dealt_out}' is a consumer group" in complaint
    assert "kind share" in said(type_in("groups", "describe", shared))
    assert said(type_in("groups", "delete", shared, "--yes")) == f"{shared} is deleted.\n"
    assert "2 tasks done" in said(type_in(*work, shared))

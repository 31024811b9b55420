"""The options of a worker group, each beside every value of those that choose: what does nothing is refused."""

from __future__ import annotations

import inspect
import random
import re
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest

from labkit.errors import LabkitError, SettingsError
from labkit.parameters import BadType
from labkit.settings import Settings
from labkit.taskqueue.engine.worker_config import EXECUTORS, MODES, ORDERS, Retry
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.group_options import GroupOptions
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None)


async def coroutine(_task):
    pass


def function(_task):
    pass


#: What can be worked with: the work, and in which executors.
WORK = {
    "nothing": ({}, ("threads", "processes")),
    "service": ({"handler": constant(0.001)}, ("threads", "processes")),
    "handler": ({"handler": function}, ("threads", "processes")),
    "coroutine": ({"handler": coroutine}, ("asyncio",)),
}
#: Each other option: a value, and where it means something.
OPTIONS = {
    "plain": (True, lambda at: at["work"] != "nothing"),
    "log_dir": (Path("logs"), lambda at: at["processes"]),
    "lock": (1.0, lambda at: at["mode"] == "share"),
    "session_timeout": (1.0, lambda at: at["mode"] == "group"),
    "timeout": (1.0, lambda at: at["work"] in ("handler", "coroutine") or at["executor"] == "processes"),
    "retry": (Retry(), lambda at: at["work"] in ("handler", "coroutine") or at["executor"] == "processes"),
    "concurrency": (2, lambda _: True),
    "max_in_flight": (5, lambda _: True),
}
CHOICES = [
    {"work": work, "executor": executor, "mode": mode, "order": order, "processes": processes}
    for work, (_, executors) in WORK.items()
    for executor, mode, order, processes in product(executors, MODES, ORDERS, (False, True))
    if mode == "group" or order == "none"
]


#: Where the rarer ones stand.
GROUPED = {"membership": Membership, "output": Output}


def names_of(kind):
    return [one.name for one in fields(kind)]


def grouped(given):
    """These options as they are given to a worker group: the rarer ones in the object in which they stand."""
    found = {
        name: kind(**{one: value for one, value in given.items() if one in names_of(kind)})
        for name, kind in GROUPED.items()
    }
    rare = {one for kind in GROUPED.values() for one in names_of(kind)}
    return {**found, **{one: value for one, value in given.items() if one not in rare}}


def options(**given):
    nothing = dict.fromkeys(one.name for one in fields(GroupOptions))
    return GroupOptions(**{**nothing, "mode": "group", "concurrency": 1, **grouped(given)})


def test_every_option_of_a_group_is_in_the_table():
    known = set(inspect.signature(WorkerGroup.__init__).parameters) - {"topic", "group", "workers", "settings", "self"}
    assert known == {one.name for one in fields(GroupOptions)}
    known |= {one for kind in GROUPED.values() for one in names_of(kind)}
    known -= {"name", "on_record", "records", "clock", *GROUPED}
    assert known == {*OPTIONS, "handler", "mode", "order", "executor", "processes"}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_acts_or_is_refused_beside_every_other(option):
    value, acts = OPTIONS[option]
    for at in CHOICES:
        given = {name: at[name] for name in ("executor", "mode", "order", "processes")}
        others = {name: other for name, (other, acts) in OPTIONS.items() if name != option and acts(at)}
        for beside in ({}, *({name: other} for name, other in others.items())):
            make = {**WORK[at["work"]][0], **given, **beside, option: value}
            if acts(at):
                options(**make).config(SETTINGS, "json")
            else:
                with pytest.raises(SettingsError, match=r"do(es)? nothing.*leave"):
                    options(**make)


def test_a_share_group_has_no_order():
    for order in ("partition", "key"):
        with pytest.raises(SettingsError, match="keeps no order"):
            options(mode="share", order=order).config(SETTINGS, "json")


@pytest.mark.parametrize(
    ("work", "executor"),
    [(work, one) for work, (_, executors) in WORK.items() for one in EXECUTORS if one not in executors],
)
def test_an_executor_that_the_work_does_not_suit_is_refused_before_the_start(work, executor):
    with pytest.raises(SettingsError, match="`async def`"):
        options(**WORK[work][0], executor=executor)


@pytest.mark.parametrize("executor", [None, "threads"])
def test_that_a_thread_cannot_be_stopped_is_said_at_once_with_what_can(executor, caplog):
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        WorkerGroup(topic, handler=function, timeout=2, executor=executor, settings=SETTINGS)
        (said,) = caplog.messages
        assert "2 s" in said
        assert "'processes'" in said
        assert "'asyncio'" in said
        caplog.clear()
        WorkerGroup(topic, handler=coroutine, timeout=2, settings=SETTINGS)
        WorkerGroup(topic, handler=function, timeout=2, executor="processes", settings=SETTINGS)
        assert not caplog.messages


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *product(("timeout", "session_timeout", "lock"), (0, -1, float("nan"), float("inf"))),
        *product(("concurrency", "max_in_flight"), (0, -1)),
        ("workers", -1),
    ],
)
def test_zero_and_what_no_clock_holds_are_refused(option, value):
    mode = {"mode": "share"} if option == "lock" else {}
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with pytest.raises(LabkitError, match=f"cannot|'{option}' of (WorkerGroup|Membership) is"):
            WorkerGroup(topic, **grouped({"handler": function, **mode, option: value}), settings=SETTINGS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *((one, f"give membership=Membership({one}=…)") for one in names_of(Membership)),
        *((one, f"give output=Output({one}=…)") for one in names_of(Output)),
        ("attempts", "give retry=Retry(attempts=…)"),
        ("seed", "give handler=ServiceTime(seed=…)"),
        ("service", "A ServiceTime is given as 'handler'"),
        ("threads", "Did you mean 'concurrency'?"),
        ("pool", "Did you mean 'executor'?"),
        ("handlers", "Did you mean 'handler'?"),
    ],
)
def test_a_parameter_that_stands_elsewhere_is_told_with_its_place(given, says):
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with pytest.raises(BadType, match=rf"^WorkerGroup has no parameter '{given}'\. .*{re.escape(says)}"):
            WorkerGroup(topic, **{given: 1})


def test_a_group_of_no_workers_has_none_until_some_are_added():
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with WorkerGroup(topic, workers=0, settings=SETTINGS) as group:
            assert group.status() == []
            assert group.add() == "worker-1"


def test_zero_attempts_are_refused_and_no_wait_means_none():
    with pytest.raises(SettingsError, match="'attempts' of Retry is 0"):
        Retry(attempts=0)
    with pytest.raises(SettingsError, match="'first' of Retry is nan"):
        Retry(first=float("nan"))
    for retry in (Retry(first=0), Retry(longest=0)):
        assert retry.delay(1, random.Random(1)) == 0

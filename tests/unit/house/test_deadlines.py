"""Who has waited in vain is told how much was done meanwhile, at what rate, and what is left, by each raise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import labkit

PACKAGE = Path(labkit.__file__).parent
#: Raises that have nothing to count, by module and function, and why.
UNCOUNTED = {
    ("taskqueue/worker_group/done_elsewhere.py", "must_be_all"): "all tasks are done",
    ("taskqueue/worker_group/drain.py", "_catch_up"): "all tasks are done",
    ("taskqueue/timeouts.py", "wait_until"): "`told` says it: see `WAITS`",
    ("taskqueue/timeouts.py", "wait_until_there"): "adds the broker's trouble to what `wait_until` said",
    ("taskqueue/transport/retirement.py", "wait"): "a client closes or does not",
}
#: Waits by `wait_until` for one thing that is there or not, or whose `told` counts, by module and function.
WAITS = {
    ("api/server.py", "start"): "a start",
    ("dispatch/intake.py", "wait_until_joined"): "partitions of a member: `told` names them",
    ("faults/dispatch_run.py", "_wait"): "in a run of the faults themselves: told by its checker",
    ("faults/worker_run.py", "run_under_faults"): "in a run of the faults themselves: told by its checker",
    ("taskqueue/worker_group/drain.py", "wait_for_count"): "`told` counts: see tests/unit/taskqueue/test_pace.py",
    ("taskqueue/worker_group/group.py", "wait_until_balanced"): "`told` names who has which partitions",
    ("taskqueue/lab_process.py", "wait_until_ready"): "a start",
    ("taskqueue/timeouts.py", "wait_until_there"): "the same wait",
    ("taskqueue/topics.py", "create"): "a topic is there or not",
    ("taskqueue/transport/confluent/producer.py", "_look_up"): "a topic is there or not",
    ("taskqueue/transport/confluent/producer.py", "_wait_for_partition"): "a partition is there or not",
    ("taskqueue/transport/kafka_python/admin.py", "_wait"): "a topic is there or not",
    ("taskqueue/transport/kafka_python/producer.py", "_wait_for_partition"): "a partition is there or not",
}


def places(*names: str) -> Iterator[tuple[str, str]]:
    """Where these are called: the module and the method or function."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in names:
                around = [one for one in functions if one.lineno <= call.lineno <= (one.end_lineno or one.lineno)]
                outermost = min(around, key=lambda one: one.col_offset)
                yield path.relative_to(PACKAGE).as_posix(), outermost.name


RAISES = sorted({(module, function) for module, function in places("DeadlineExceeded")})


@pytest.mark.parametrize(("module", "function"), RAISES)
def test_each_says_what_was_done_and_at_what_rate_or_has_nothing_to_count(module, function):
    text = (PACKAGE / module).read_text(encoding="utf-8")
    says_it = ".so_far(" in text and ("advice(" in text or "SLOW_BROKER" in text or "Send them again" in text)
    assert says_it or (module, function) in UNCOUNTED


def test_waits_for_one_thing_are_known():
    assert set(places("wait_until", "wait_until_there")) == set(WAITS)


def test_what_is_left_out_is_there():
    assert set(UNCOUNTED) <= set(RAISES)

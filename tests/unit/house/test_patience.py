"""No test assumes an idle machine: none sleeps, none says how quick something was, and deadlines are for failures.

What an `ast` cannot see is up to who writes a test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: The module that waits for all others.
WAITS = ROOT / "tests" / "conditions.py"
MODULES = sorted((ROOT / "tests").rglob("*.py"))
CLOCKS = {"monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"}
#: Calls that end as soon as something has happened, and so need no short deadline.
TAKES_IT_FIRST = {"result", "wait", "join"}
ENDS_WHEN_IT_IS_SO = {"wait_until", "drain", "wait_for", "wait_for_records", "communicate"} | TAKES_IT_FIRST
#: What asks a server by httpx.
REQUESTS = {"get", "post", "put", "patch", "delete", "head", "options", "request", "stream", "Client"}
#: The shortest deadline of a condition, in seconds.
SHORTEST = 30


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and name_of(node) in CLOCKS and not node.args


def is_elapsed(node: ast.expr) -> bool:
    return any(
        isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and any(map(is_clock, ast.walk(part.left)))
        for part in ast.walk(node)
    )


def says_how_quick(node: ast.AST) -> bool:
    """`time.monotonic() - begin < 2`; that something has taken long enough can be said on any machine."""
    if not isinstance(node, ast.Compare):
        return False
    terms = [node.left, *node.comparators]
    return any(
        (isinstance(how, ast.Lt | ast.LtE) and is_elapsed(less))
        or (isinstance(how, ast.Gt | ast.GtE) and is_elapsed(more))
        for less, how, more in zip(terms, node.ops, terms[1:], strict=False)
    )


def sleeps(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep"):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id == "time"


def is_of(call: ast.Call, *modules: str) -> bool:
    """Whether it is a function of one of these modules; "" is for what stands there by its bare name."""
    if isinstance(call.func, ast.Attribute):
        return isinstance(call.func.value, ast.Name) and call.func.value.id in modules
    return "" in modules


def deadlines(call: ast.Call) -> Iterator[ast.expr]:
    """What it is told about how long it may take."""
    name = name_of(call)
    if name == "timeout" and is_of(call, "asyncio"):
        yield from call.args
    if name == "wait_for" and is_of(call, "asyncio", ""):
        yield from call.args[1:2]
    if name in TAKES_IT_FIRST:
        yield from call.args[:1]
    handed_on = name == "to_thread" and isinstance(call.args[0], ast.Name) and call.args[0].id in ENDS_WHEN_IT_IS_SO
    if handed_on or name in ENDS_WHEN_IT_IS_SO:
        yield from (word.value for word in call.keywords if word.arg == "timeout")


def is_hasty(node: ast.AST) -> bool:
    """A deadline in figures of some seconds; one below a second is how long a test looks that nothing happens."""
    if not isinstance(node, ast.Call):
        return False
    given = list(deadlines(node))
    figures = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, int | float)]
    return any(1 <= figure < SHORTEST for figure in figures)


def leaves_it_to_httpx(node: ast.AST) -> bool:
    """A request without a word about its deadline, which is 5 s then."""
    if not (isinstance(node, ast.Call) and is_of(node, "httpx") and name_of(node) in REQUESTS):
        return False
    return not {"timeout", None} & {word.arg for word in node.keywords}


def is_exempt(node: ast.AST) -> bool:
    """What is expected to fail."""
    return isinstance(node, ast.With | ast.AsyncWith) and any("raises" in ast.unparse(item) for item in node.items)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    left = [node]
    while left:
        node = left.pop()
        if not is_exempt(node):
            yield node
            left.extend(ast.iter_child_nodes(node))


def complaints(text: str) -> list[str]:
    rules = {
        "sleeps": sleeps,
        "says how quick something was": says_how_quick,
        "has a hasty deadline": is_hasty,
        "has the deadline of httpx": leaves_it_to_httpx,
    }
    found = [(node, what) for node in walk(ast.parse(text)) for what, is_so in rules.items() if is_so(node)]
    return [f"line {node.lineno} {what}: {ast.unparse(node)}" for node, what in found]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_assumes_an_idle_machine(module: Path) -> None:
    assert module == WAITS or complaints(module.read_text()) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("time.sleep(1)", 1),
        ("assert time.monotonic() - begin < 2", 1),
        ("assert 2 > perf_counter() - begin", 1),
        ("assert 0.2 <= time.monotonic() - begin < 2", 1),
        ("assert time.monotonic() - begin >= 0.2", 0),
        ("wait_until(ready, timeout=5)", 1),
        ("thread.join(10)", 1),
        ("assert not done.wait(0.05)", 0),
        ("wait_until(ready, timeout=60)", 0),
        ("async with asyncio.timeout(1):\n    await it", 1),
        ("async with asyncio.timeout(WAIT):\n    await it", 0),
        ("await asyncio.wait_for(ready.wait(), 10)", 1),
        ("assert wait_for(is_ready, 15)", 1),
        ("view.wait_for(17, 3)", 0),
        ("await asyncio.to_thread(wait_until, is_ready, timeout=10)", 1),
        ("await asyncio.to_thread(wait_until, is_ready, timeout=120)", 0),
        ("httpx.get(url, headers=ALLOWED)", 1),
        ("httpx.get(url, headers=ALLOWED, timeout=120)", 0),
        ("with pytest.raises(DeadlineExceeded):\n    wait_until(ready, timeout=2)", 0),
    ],
)
def test_the_rules_see_what_they_are_for(text: str, count: int) -> None:
    assert len(complaints(text)) == count

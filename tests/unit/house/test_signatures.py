"""Nobody has to give, or to read, more than a handful of parameters: rare settings are grouped."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
#: A command has an option for everything.
COMMANDS = ROOT / "labkit" / "cli"
MODULES = sorted(module for module in (ROOT / "labkit").rglob("*.py") if COMMANDS not in module.parents)
MOST = 12
#: What most things take, and nobody counts.
EVERYWHERE = {"self", "cls", "settings"}
#: These have a field for each column of a table, or for each variable of the environment.
TABLES = {"DeadLetter", "Event", "Settings", "TaskRecord"}


def parameters() -> Iterator[tuple[str, list[str]]]:
    """What each public function, method and constructor takes, also one that is made of a class's fields."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in TABLES:
                yield node.name, [one.target.id for one in node.body if is_field(one)]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args
                yield node.name, [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def is_field(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(node.annotation)
    )


def test_nothing_public_takes_more_than_twelve_parameters() -> None:
    found = [(name, set(names) - EVERYWHERE) for name, names in parameters() if name == "__init__" or name[0] != "_"]
    assert [(name, len(names)) for name, names in found if len(names) > MOST] == []
    assert max(len(names) for _, names in found) == MOST, "the bound may be lowered"

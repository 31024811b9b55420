"""The cells that a notebook's kernel has run: they may be ahead of the file, which is saved only now and then.

A cell that was run is known by what it defines, since IPython keeps its text and not which cell of the file it was. So
the answer to a question is the cell run last that has defined the name asked for.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from labkit.grading.notebook_file import NotebookCell


class RunCell(NamedTuple):
    """A cell's text, and the number that the notebook shows beside it."""

    number: int
    source: str


class KernelHistory:
    """What was run, in order; `sources[n]` is the text of In [n]."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = list(sources)

    def last(self, name: str) -> RunCell | None:
        """The cell run last that has defined this name at its top level."""
        for number in range(len(self._sources) - 1, 0, -1):
            source = self._sources[number]
            if name in source and name in set(names_defined(source)):
                return RunCell(number, source)
        return None

    def put_into(
        self, cells: Sequence[NotebookCell], names: Mapping[str, str]
    ) -> tuple[tuple[NotebookCell, ...], dict[str, int]]:
        """The cells of the file with those that were run in their places, and by grade_id the number of each that has
        another text in the file. `names` has what the cell of each grade_id defines.
        """
        put, newer = [], {}
        for cell in cells:
            grade_id = cell.nbgrader.grade_id if cell.nbgrader else ""
            run = self.last(names[grade_id]) if grade_id in names and cell.kind == "code" else None
            if run is not None and run.source.strip() != cell.source.strip():
                newer[grade_id] = run.number
                put.append(replace(cell, source=run.source))
            else:
                put.append(cell)
        return tuple(put), newer


def running_history() -> KernelHistory | None:
    """What the kernel has run that this code runs in; nothing where it is none of a notebook."""
    shell = _shell()
    return None if shell is None else KernelHistory(shell.history_manager.input_hist_raw)


def in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel."""
    return _shell() is not None


def show(value: object) -> None:
    """Show this below the cell that runs, which is one of a notebook."""
    sys.modules["IPython"].display.display(value)


def _shell() -> Any:
    """What IPython calls the shell, in a notebook's kernel; nothing elsewhere."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell if hasattr(shell, "kernel") else None


def statements_of(source: str) -> list[ast.stmt] | None:
    """The statements of a cell; None where it is no Python: a magic, or a mistake."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def names_defined(source: str) -> Iterator[str]:
    """The names that a cell sets at its top level, in ifs and loops too; functions by `def` where it is no Python."""
    body = statements_of(source)
    if body is None:
        yield from (
            one or other for one, other in re.findall(r"^(?:async\s+)?def\s+(\w+)|^(\w+)\s*=(?!=)", source, re.M)
        )
        return
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            waiting += ast.iter_child_nodes(node)

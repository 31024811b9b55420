"""The rules that every notebook follows, and what is wrong with one that does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

Cell = Any

#: The second-level headings, in this order and no others. The question itself stands under the title.
RHYTHM = (
    "What to know",
    "Your prediction",
    "Run",
    "The figure and the number",
    "Why",
    "Change one thing",
    "What to take away",
    "Where to read on",
)
FEWEST_CELLS, MOST_CELLS = 15, 30
MOST_LINES = 15
MOST_BYTES = 600_000
#: So many cells have an output that nbval compares: without any, it would pass whatever came out.
FEWEST_COMPARED = 3

ABSOLUTE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|tmp|private|var|usr|opt|work|mnt|srv)/")
WARNING = re.compile(r"\b\w*Warning\b:|\[WARN|WARNING", re.MULTILINE)
QUESTION = re.compile(r"^\*\*The question: .+\?\*\*$", re.MULTILINE)
NEIGHBOUR = re.compile(r"\b(Before|Next): \[[^\]]*\]\(([^)\s]+)\)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: In seconds: a busy computer may hold up a worker that lives for some, and it is not to lose its partitions for that.
SHORTEST_SESSION_S = 5.0
SESSION = re.compile(r"\bsession_timeout=([0-9.]+)")
OWN_LAB = re.compile(r"\blabkit\.Lab\(")
ENDS_SERVER = re.compile(r"\.(kill|restart)_(redis|broker)\(|\blab\.(stop|close)\(|\bos\.kill\(")
#: What a cell says instead of comparing times; an output that is committed shows a comparison.
BUSY = "The computer was busy with something else"
OTHER_NOTEBOOK = re.compile(r"\b[Nn]otebook (\d\d)\b")


def faults(path: Path) -> list[str]:
    """Everything that is wrong with the notebook, in words; [] if nothing is."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    found = [*_whole(path, notebook), *_links(path, notebook), *_outputs(notebook)]
    code = code_cells(notebook)
    trees = {}
    for number, cell in enumerate(code, start=1):
        try:
            trees[number] = ast.parse(cell.source)
        except SyntaxError:
            found.append(f"code cell {number} is not plain Python (no magics, no shell)")
    found += [*_lengths(code), *_parameters(code), *_sections(notebook)]
    return [*found, *_prints(trees), *_deaths(code), *_time_outs(code)]


def code_cells(notebook: Any) -> list[Cell]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Cell) -> list[str]:
    return list(cell.metadata.get("tags", []))


def is_compared(cell: Cell) -> bool:
    """Does nbval compare something of this cell's output? Pictures do not count."""
    if "nbval-ignore-output" in tags(cell):
        return False
    return any("text" in output or "image/png" not in output.get("data", ()) for output in cell.outputs)


def sections(notebook: Any) -> dict[str, list[Cell]]:
    """The cells under each second-level heading; a cell that holds a heading belongs under it."""
    found: dict[str, list[Cell]] = {}
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in _headings(cell):
                found[heading] = []
        found.setdefault(heading, []).append(cell)
    return found


def _headings(cell: Cell) -> list[str]:
    return re.findall(r"^## (.+?)\s*$", cell.source, re.MULTILINE)


def _whole(path: Path, notebook: Any) -> Iterator[str]:
    cells = notebook.cells
    if not FEWEST_CELLS <= len(cells) <= MOST_CELLS:
        yield f"{len(cells)} cells, not {FEWEST_CELLS} to {MOST_CELLS}"
    if path.stat().st_size > MOST_BYTES:
        yield f"{path.stat().st_size} bytes, more than {MOST_BYTES}"
    if cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        yield "the first cell is not a title"
    if not QUESTION.search(cells[0].source):
        yield "the first cell asks no question"
    headings = [heading for cell in cells if cell.cell_type == "markdown" for heading in _headings(cell)]
    if tuple(headings) != RHYTHM:
        yield f"the headings are {headings}, not {list(RHYTHM)}"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "papermill" in notebook.metadata:
        yield "it is an executed copy, not the notebook itself"


def _lengths(code: list[Cell]) -> Iterator[str]:
    for number, cell in enumerate(code, start=1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if not 1 <= len(lines) <= MOST_LINES:
            yield f"code cell {number} has {len(lines)} lines, not 1 to {MOST_LINES}"
        if forbidden := {"raises-exception", "nbval-skip", "nbval-raises-exception"} & set(tags(cell)):
            yield f"code cell {number} has the tag {forbidden.pop()}"


def _parameters(code: list[Cell]) -> Iterator[str]:
    tagged = [cell for cell in code if "parameters" in tags(cell)]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged parameters, not one"
        return
    if not re.search(r"^SEED = \d+", tagged[0].source, re.MULTILINE):
        yield "the parameters have no SEED"
    if sum(len(re.findall(r"^\s*SEED\s*=", cell.source, re.MULTILINE)) for cell in code) > 1:
        yield "SEED is set more than once"
    for line in tagged[0].source.splitlines():
        if not re.match(r"^([A-Z][A-Z_0-9]* = .+|\s*#.*|)$", line):
            yield f"the parameters hold more than values: {line}"


def _deaths(code: list[Cell]) -> Iterator[str]:
    is_own = False
    for number, cell in enumerate(code, start=1):
        is_own = is_own or bool(OWN_LAB.search(cell.source))
        if not is_own and ENDS_SERVER.search(cell.source):
            yield f"code cell {number} ends a server that other notebooks may use; make another one by `labkit.Lab()`"


def _time_outs(code: list[Cell]) -> Iterator[str]:
    for number, cell in enumerate(code, start=1):
        if any(float(seconds) < SHORTEST_SESSION_S for seconds in SESSION.findall(cell.source)):
            yield f"code cell {number}: with such a session time-out a busy computer loses workers that live"


def _sections(notebook: Any) -> Iterator[str]:
    under = sections(notebook)
    if tuple(heading for heading in under if heading) != RHYTHM:
        return  # said already
    predicted = set(re.findall(r"^(\w*prediction\w*)\s*=", _code(under["Your prediction"]), re.MULTILINE))
    if not predicted:
        yield "there is no variable for the prediction"
    elif not any(re.search(rf"\b{name}\b", _code(under["The figure and the number"])) for name in predicted):
        yield "the prediction is not compared with the number"
    for heading in ("Run", "Change one thing"):
        if not _code(under[heading]):
            yield f"under {heading!r} nothing is run"
    if not any(_has_figure(cell) for cell in under["The figure and the number"]):
        yield "there is no figure"
    after = [cell for heading in RHYTHM[RHYTHM.index("Run") :] for cell in under[heading]]
    if not re.search(r"^\s*assert ", _code(after), re.MULTILINE):
        yield "nothing is asserted"


def _code(cells: list[Cell]) -> str:
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def _has_figure(cell: Cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def _outputs(notebook: Any) -> Iterator[str]:
    code = code_cells(notebook)
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "the cells were not run once each from top to bottom"
    if sum(is_compared(cell) for cell in code) < FEWEST_COMPARED:
        yield f"fewer than {FEWEST_COMPARED} cells have an output that nbval compares"
    for number, cell in enumerate(code, start=1):
        if ABSOLUTE_PATH.search(cell.source):
            yield f"code cell {number} names an absolute path"
        if BUSY in cell.source and "nbval-ignore-output" not in tags(cell):
            yield f"code cell {number} says whether the computer was busy, and nbval compares it"
        for output in cell.outputs:
            yield from (f"the output of code cell {number} {problem}" for problem in _problems(output))


def _problems(output: Any) -> Iterator[str]:
    if output.output_type == "error":
        yield "is an error"
        return
    if output.get("name") == "stderr":
        yield "is on stderr"
    kinds = output.get("data", {})
    if "image/svg+xml" in kinds:
        yield "is SVG, which nbval compares letter by letter"
    text = output.get("text", "") + "".join(value for kind, value in kinds.items() if kind.startswith("text/"))
    if ABSOLUTE_PATH.search(text):
        yield "holds an absolute path"
    if "Traceback (most recent call last)" in text:
        yield "holds a traceback"
    if BUSY in text:
        yield "says that the computer was busy"
    if WARNING.search(text):
        yield "holds a warning"


def _links(path: Path, notebook: Any) -> Iterator[str]:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for target in LINK.findall(text):
        file = target.partition("#")[0]
        if file and "://" not in target and not (path.parent / file).exists():
            yield f"the link to {target} leads nowhere"
    for number in OTHER_NOTEBOOK.findall(text):
        if not list(path.parent.glob(f"{number}_*.ipynb")):
            yield f"it speaks of notebook {number}, which does not exist"
    order = sorted(path.parent.glob("*.ipynb"))
    here = order.index(path)
    neighbours = {"Before": order[max(here - 1, 0) : here], "Next": order[here + 1 : here + 2]}
    for word, expected in neighbours.items():
        targets = {target for label, target in NEIGHBOUR.findall(text) if label == word}
        if targets != {neighbour.name for neighbour in expected}:
            yield f"{word} leads to {sorted(targets)}, not to {[neighbour.name for neighbour in expected]}"


def _prints(trees: dict[int, ast.Module]) -> Iterator[str]:
    """A function may run in a worker's thread, and what a thread prints lands under whatever cell runs then."""
    for number, tree in trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
        calls = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.Call)]
        if any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls):
            yield f"code cell {number} prints inside a function"

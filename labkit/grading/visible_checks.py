"""What a release carries beside its notebook, so that students can run the visible checks: the file `checks.json`.

It has the cells as they were released, which are run around the student's own, and of each question what its kind gives
to students. Nothing in it is hidden from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError, to_builtins
from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.check_errors import NotChecked
from labkit.grading.notebook_file import NotebookCell
from labkit.grading.questions import VISIBLE_KINDS, Question
from labkit.typed_values import typed
from labkit.whole_file import whole_file

#: The file's name, beside the notebook.
FILE = "checks.json"
#: What stands in the file, by a number that goes up when another labkit could not read it.
VERSION = 1


class _File(Struct, frozen=True, kw_only=True):
    version: int
    assignment: str
    cells: tuple[NotebookCell, ...]
    questions: tuple[dict[str, Any], ...]


def write_checks(assignment: Assignment, folder: Path) -> Path:
    """Write the file of this assignment into the folder of its release; returns the file. Raises `OSError`."""
    content = _File(
        version=VERSION,
        assignment=assignment.name,
        cells=assignment.release,
        questions=tuple(map(_table, _shown(assignment))),
    )
    with whole_file(folder / FILE) as part:
        part.write_text(json.dumps(to_builtins(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder / FILE


def add_to_release(*, assignment: str, student: str, notebooks: Sequence[str]) -> None:
    """The hook that nbgrader calls when it has made a release (`GenerateAssignment.post_convert_hook`), with the paths
    of the notebooks in the source. Raises what `read_assignment` and `write_checks` raise.
    """
    source = Path(notebooks[0]).parent
    write_checks(read_assignment(source), source.parents[1] / "release" / assignment)


def read_checks(folder: Path) -> Assignment:
    """The assignment that was released into this folder, with the visible checks of its questions, and no source. An
    instructor's own folder of it will do.

    Raises `NotChecked` if there is none.
    """
    file = folder / FILE
    if (folder / "questions").is_dir() and not file.exists():
        own = read_assignment(folder.resolve())
        return replace(own, source=(), questions=tuple(_shown(own)))
    try:
        content = typed(json.loads(file.read_text(encoding="utf-8")), _File)
        if content.version != VERSION:
            raise NotChecked(
                f"{file} is of version {content.version}, and this labkit knows {VERSION}. Install the labkit that the "
                "course uses."
            )
        questions = tuple(map(_question, content.questions))
    except FileNotFoundError:
        raise NotChecked(
            f"There is no {FILE} in {folder.absolute()}, so nothing tells what is to be checked. It lies beside the "
            "notebook as it was handed out: copy it there, or fetch the assignment again."
        ) from None
    except OSError as error:
        raise NotChecked(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, RecursionError, ValidationError) as error:
        raise NotChecked(f"{file} is damaged ({error}). Fetch the assignment again.") from error
    return Assignment(name=content.assignment, source=(), release=content.cells, questions=questions)


def _shown(assignment: Assignment) -> Iterator[Question]:
    for question in assignment.questions:
        shown = VISIBLE_KINDS[question.name].for_students(question)
        if shown is not None:
            yield shown


def _table(question: Question) -> dict[str, Any]:
    table: dict[str, Any] = to_builtins(question, enc_hook=str)
    del table["file"]
    return {"kind": question.name, "id": question.id, **table}


def _question(table: dict[str, Any]) -> Question:
    kind, name = table.pop("kind"), table.pop("id")
    return typed({**table, "file": Path(f"{name}.toml")}, VISIBLE_KINDS[kind])

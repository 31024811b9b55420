"""The file of a notebook (nbformat 4), read with care: nobody knows what a student has handed in.

Format: the JSON schema of nbformat 4, and nbgrader's metadata of a cell (its schema_version 3). Only what is needed is
decoded, so outputs cost no memory, however they are nested; a file is looked at before it is opened for reading, so a
link, a FIFO or a device is none.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError

from labkit.errors import GradingFailed
from labkit.grading.question_verdict import Feedback
from labkit.typed_values import json_decoder

#: The largest notebook that is read, and the longest source of a cell, in bytes and characters.
MAX_NOTEBOOK, MAX_SOURCE = 16 * 1024 * 1024, 200_000
#: The most cells that are looked at.
MAX_CELLS = 2_000

Part = TypeVar("Part")

#: What decoding raises of what is no JSON, no UTF-8, no notebook, or nested without end.
_UNREADABLE = (DecodeError, UnicodeDecodeError, RecursionError)

#: Why a file cannot be opened that is none, or nobody's to read; for any other reason it is the machine that cannot.
_OF_THE_FILE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV)
)

_HAND_IN_AGAIN = "Open it in JupyterLab, save it there and hand it in again."


class Nbgrader(Struct, frozen=True):
    """What nbgrader notes of a cell."""

    grade_id: str
    grade: bool = False
    solution: bool = False
    locked: bool = False
    points: float = 0.0


class NotebookCell(Struct, frozen=True):
    """A cell: "code", "markdown" or "raw", its text, its tags, and what nbgrader notes of it."""

    kind: str
    source: str
    tags: tuple[str, ...] = ()
    nbgrader: Nbgrader | None = None


class _Metadata(Struct, frozen=True):
    nbgrader: Raw = Raw()
    tags: Raw = Raw()


class _Cell(Struct):
    cell_type: str
    source: str | list[str]
    metadata: _Metadata = _Metadata()


class _Notebook(Struct):
    nbformat: int
    cells: list[_Cell]


class _Version(Struct):
    nbformat: int


_NOTEBOOK, _VERSION = json_decoder(_Notebook), json_decoder(_Version)
_NBGRADER, _TAGS = json_decoder(Nbgrader).decode, json_decoder(tuple[str, ...]).decode


def read_notebook(path: Path) -> tuple[NotebookCell, ...] | Feedback:
    """The cells of the notebook, or why it is none, by name and in words.

    Takes bounded time and memory, whatever is there. Raises `GradingFailed` where it is the machine that cannot read.
    """
    content = read_content(path)
    return content if isinstance(content, Feedback) else cells_of(content)


def cells_of(content: bytes) -> tuple[NotebookCell, ...] | Feedback:
    """The cells of the notebook that these bytes are, or why they are none."""
    try:
        notebook = _NOTEBOOK.decode(content)
    except _UNREADABLE as error:
        return _no_notebook(content, error)
    if notebook.nbformat != 4:
        return _of_another_format(notebook.nbformat)
    if len(notebook.cells) > MAX_CELLS:
        return Feedback("too many cells", f"The notebook has more than {MAX_CELLS} cells.", "Delete those of no use.")
    return tuple(map(_cell_of, notebook.cells))


def read_content(path: Path) -> bytes | Feedback:
    """The bytes of the file, or why there are none. Raises `GradingFailed` as `read_notebook` does."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if stat.S_ISLNK(_mode(path)):
            return Feedback("no file", "What was handed in is a link, and no notebook.", _HAND_IN_AGAIN)
        if error.errno not in _OF_THE_FILE:
            raise _unread(path, error) from error
        return Feedback("no file", f"The notebook cannot be opened: {os.strerror(error.errno or 0)}.", _HAND_IN_AGAIN)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return Feedback("no file", "What was handed in is no file.", _HAND_IN_AGAIN)
        with open(number, "rb", closefd=False) as file:
            content = file.read(MAX_NOTEBOOK + 1)
    except OSError as error:
        raise _unread(path, error) from error
    finally:
        os.close(number)
    if len(content) > MAX_NOTEBOOK:
        size = f"The notebook is larger than {MAX_NOTEBOOK // 1024**2} MB."
        return Feedback("too large", size, "Clear its outputs, save it and hand it in again.")
    return content.removeprefix(b"\xef\xbb\xbf")


def _unread(path: Path, error: OSError) -> GradingFailed:
    return GradingFailed(f"This computer cannot read {path} now: {os.strerror(error.errno or 0)}.")


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _no_notebook(content: bytes, error: Exception) -> Feedback:
    if not content.strip():
        return Feedback("empty", "The notebook is an empty file.", _HAND_IN_AGAIN)
    try:
        content.decode()
    except UnicodeDecodeError:
        return Feedback("not UTF-8", "The notebook is no text in UTF-8.", _HAND_IN_AGAIN)
    if isinstance(error, RecursionError):
        return Feedback("too deep", "The notebook is nested too deeply to be one.", _HAND_IN_AGAIN)
    if isinstance(error, ValidationError):
        try:
            version = _VERSION.decode(content).nbformat
        except _UNREADABLE:
            version = 4
        if version != 4:
            return _of_another_format(version)
        return Feedback("no notebook", f"The file is JSON, but no notebook: {error}.", _HAND_IN_AGAIN)
    return Feedback("broken JSON", f"The notebook is damaged: {error}.", _HAND_IN_AGAIN)


def _of_another_format(version: int) -> Feedback:
    said = f"The notebook has version {version} of the format, and 4 is needed."
    return Feedback("another format", said, _HAND_IN_AGAIN)


def _cell_of(cell: _Cell) -> NotebookCell:
    """The cell; metadata that is none of nbgrader's counts as not there."""
    source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
    return NotebookCell(
        cell.cell_type,
        source,
        _part(_TAGS, cell.metadata.tags) or (),
        _part(_NBGRADER, cell.metadata.nbgrader),
    )


def _part(read: Callable[[Raw], Part], raw: Raw) -> Part | None:
    try:
        return read(raw) if bytes(raw) else None
    except _UNREADABLE:
        return None

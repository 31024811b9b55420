"""Files that were handed over together: a folder or a zip file, read with care and never unpacked.

Nothing is written under a name that stands in an archive, and no more of a file is read than a notebook may have.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labkit.grading.course.course_errors import BadArchive
from labkit.grading.notebook_file import MAX_NOTEBOOK, read_content
from labkit.grading.question_verdict import Feedback, printable

#: The most notebooks of an assignment that one source may have, and how large those of a zip file may be together, in
#: bytes.
MOST_FILES, MOST_BYTES = 20_000, 1024**3
#: How deep in a folder files are looked for.
DEPTH = 6

_JUNK = {"__MACOSX", ".ipynb_checkpoints"}
_ENCRYPTED = 0x1


class ArchivedFile(NamedTuple):
    """A notebook that was handed over: where it is in its archive, when it was changed, and how it is read."""

    path: PurePosixPath
    changed: datetime | None
    read: Callable[[], bytes | str]  # or why it cannot be


@contextmanager
def open_archive(
    source: Path, belongs: Callable[[PurePosixPath], bool] = lambda _: True
) -> Iterator[list[ArchivedFile]]:
    """The notebooks in a folder or a zip file whose paths belong to what is collected, or the one that this is.

    They can be read inside of the block. Raises `BadArchive`, in one sentence.
    """
    if source.is_dir():
        yield sorted(_in_folder(source, belongs), key=lambda file: file.path)
    elif source.suffix.lower() == ".ipynb" and source.is_file():
        yield [ArchivedFile(PurePosixPath(source.name), _date(source), partial(_read_file, source))]
    elif source.is_file():
        try:
            opened = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise BadArchive(f"{source} is no zip file ({error}).") from error
        with opened:
            yield _in_zip(source, opened, belongs)
    else:
        raise BadArchive(f"{source} is no folder, no zip file and no notebook.")


def _in_zip(source: Path, opened: zipfile.ZipFile, belongs: Callable[[PurePosixPath], bool]) -> list[ArchivedFile]:
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    names = [entry.filename for entry in entries]
    outside = next((name for name in names if _leads_outside(name)), None)
    if outside is not None:
        raise BadArchive(f"{source} holds a file that would lie outside of it ({printable(outside, 80)}).")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise BadArchive(f"{source} holds two files of one name ({printable(twice, 80)}).")
    wanted = [entry for entry in entries if _is_notebook(path := PurePosixPath(entry.filename)) and belongs(path)]
    if len(wanted) > MOST_FILES:
        raise BadArchive(f"{source} holds more than {MOST_FILES} notebooks.")
    if sum(entry.file_size for entry in wanted) > MOST_BYTES:
        raise BadArchive(f"{source} would have more than {MOST_BYTES // 1024**3} GB when it is unpacked.")
    return [
        ArchivedFile(PurePosixPath(entry.filename), _date_of_entry(entry), partial(_read_entry, opened, entry))
        for entry in sorted(wanted, key=lambda entry: entry.filename)
    ]


def _leads_outside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or ":" in parts[0][1:2]


def _read_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | str:
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "it is a link, and no notebook"
    if entry.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if entry.file_size > MAX_NOTEBOOK:
        return f"it is larger than {MAX_NOTEBOOK // 1024**2} MB"
    try:
        with opened.open(entry) as file:
            content = file.read(MAX_NOTEBOOK + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        return f"it cannot be unpacked ({printable(str(error), 100)})"
    return content if len(content) <= MAX_NOTEBOOK else f"it is larger than {MAX_NOTEBOOK // 1024**2} MB"


def _date_of_entry(entry: zipfile.ZipInfo) -> datetime | None:
    """A zip file has the time by the clock on the wall of whoever made it; that of this computer is taken."""
    try:
        return datetime(*entry.date_time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _in_folder(folder: Path, belongs: Callable[[PurePosixPath], bool]) -> Iterator[ArchivedFile]:
    count = 0
    for parent, folders, files in os.walk(folder):
        here = Path(parent).relative_to(folder)
        folders[:] = sorted(folders) if len(here.parts) < DEPTH else []
        for name in files:
            path = PurePosixPath(*here.parts, name)
            if _is_notebook(path) and belongs(path):
                count += 1
                if count > MOST_FILES:
                    raise BadArchive(f"{folder} holds more than {MOST_FILES} notebooks.")
                yield ArchivedFile(path, _date(folder / path), partial(_read_file, folder / path))


def _read_file(file: Path) -> bytes | str:
    content = read_content(file)
    return content.sentence.rstrip(".") if isinstance(content, Feedback) else content


def _date(file: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(file.lstat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None


def _is_notebook(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".ipynb" and not _JUNK & set(path.parts) and not path.name.startswith(".")

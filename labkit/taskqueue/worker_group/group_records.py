"""The records of a worker group: on disk as they come, and in one file at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING
from uuid import uuid4

import platformdirs

from labkit.errors import RecordsUnwritable
from labkit.logs.safe_logger import safe_logger
from labkit.measure.record_store import RecordStore
from labkit.measure.records import read_records

if TYPE_CHECKING:
    import pandas as pd

    from labkit.measure.task_record import TaskRecord

log = safe_logger("labkit.records")


def default_target(folder: Path | None, topic: str, group: str, at: float) -> Path | None:
    """The file for records of a run that names none, in this folder; `at` is in seconds since the epoch."""
    return None if folder is None else folder / f"{topic}.{group}.{int(at * 1000)}-{uuid4().hex[:6]}.parquet"


class GroupRecords:
    """Keeps them in the folder `<target>.parts`, where others may keep theirs, and leaves them in the file `target`.

    Without a target they go with this object. A file there that is written by somebody else meanwhile is left alone:
    then `target` becomes another name beside it, which is said.

    Raises `RecordsUnwritable` where that cannot be, before anything is done of which there would be no record.
    """

    def __init__(self, target: Path | None) -> None:
        # a handler may change the working directory
        self.target = None if target is None else target.absolute()
        if self.target is not None:
            _must_be_writable(self.target)
        self._store = RecordStore(None if self.target is None else self.target.with_suffix(".parts"))
        self._before = _state(self.target)
        self._is_left = False

    def __len__(self) -> int:
        return len(self._store)

    def append(self, record: TaskRecord) -> None:
        """Take one record; any thread may call it."""
        self._store.append(record)

    def frame(self) -> pd.DataFrame:
        """One row per attempt so far, ordered by the time at which it finished."""
        if self._is_left and self.target is not None:
            return read_records(self.target)
        return self._store.frame()

    def counts(self) -> tuple[Counter[str], int]:
        """How many attempts there were of each outcome so far, and how many workers have made them."""
        return self._store.counts()

    def leave(self) -> None:
        """Make one file of what came in parts.

        Raises `RecordsUnwritable`. Where the file cannot be written there, it is written elsewhere, `target` names that
        place, and so does the error; where it cannot be written anywhere, the parts stay, and it can be tried again.
        """
        self._store.close()
        if self.target is None or not len(self._store) or self._is_left:
            return
        if _state(self.target) not in (None, self._before):
            taken, self.target = self.target, self.target.with_stem(f"{self.target.stem}-{uuid4().hex[:6]}")
            log.warning("somebody else has written %s meanwhile, so these records are left in %s", taken, self.target)
        try:
            self._store.write(self.target)
        except RecordsUnwritable as error:
            self._leave_elsewhere(self.target, error)
        self._is_left = True
        self._store.remove()

    def _leave_elsewhere(self, wanted: Path, error: RecordsUnwritable) -> None:
        """Always raises: the file is somewhere, or it is not."""
        for folder in _other_folders():
            self.target = folder / f"{wanted.stem[:100]}-{uuid4().hex[:6]}.parquet"
            try:
                self._store.write(self.target)
            except RecordsUnwritable:
                continue
            self._is_left = True
            with suppress(OSError, RecordsUnwritable):  # what is left of them there is in the file, too
                self._store.remove()
            why = getattr(error.__cause__, "strerror", None) or error.__cause__ or error
            raise RecordsUnwritable(
                f"The records could not be written to {wanted}: {str(why).rstrip('.')}. All {len(self._store)} of them "
                f"are in {self.target}; move that file to where it is to be."
            ) from error
        self.target = wanted
        raise error


def _must_be_writable(target: Path) -> None:
    """Nothing is left behind by the attempt, and no folder is made."""
    try:
        if target.exists() and not target.is_file():
            raise RecordsUnwritable(
                f"The records cannot be written to {target}, which is no file. Name one, as records.parquet."
            )
        folder = next(one for one in target.parents if one.exists())
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecordsUnwritable(
            f"The records cannot be written to {target}: {error.strerror}. Name another place for them."
        ) from error


def _other_folders() -> Iterator[Path]:
    """Where records are left that cannot be where they were to be: the user's folder for such, then a temporary one."""
    yield platformdirs.user_state_path("labkit") / "records"
    yield Path(gettempdir()) / f"labkit-records-{uuid4().hex[:12]}"


def _state(path: Path | None) -> tuple[int, int, int] | None:
    """What tells a file from one that is written in its place."""
    try:
        found = None if path is None else path.stat()
    except OSError:  # there is none, or none that can be seen, which the attempt to write it will show
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)

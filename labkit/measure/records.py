"""What a task leaves behind: a receipt when it is sent, a record per attempt, or a note that it was turned away.

Every figure and every number is drawn from the DataFrames of these. pandas is imported when the first one is made,
because a worker process only fills in records and should not wait a second for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from labkit.errors import RecordsUnreadable
from labkit.measure.record_store import read_store
from labkit.measure.task_record import COLUMNS, TaskRecord, column_dtype, in_order_of_finishing
from labkit.parameters import checked
from labkit.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of one sent task. Times are seconds since the epoch.

    Acknowledged: partition, offset and `acknowledged_at` are known, `error` is None. Refused: the reverse.
    """

    task_id: str
    topic: str
    partition: int | None
    offset: int | None
    scheduled_at: float
    produced_at: float
    acknowledged_at: float | None
    error: str | None


#: The columns of the DataFrame of receipts, in order. `lateness` is the generator's own delay in seconds.
RECEIPT_COLUMNS = (*Receipt.__struct_fields__, "lateness")


@checked
def to_frame(records: Iterable[TaskRecord]) -> pd.DataFrame:
    """One row per attempt, shape (attempts, len(COLUMNS)), in the order in which they finished.

    Texts have the dtype str (a missing one is NaN), whole numbers int64, times float64 (a missing one is
    NaN), also when there is no row.
    """
    return in_order_of_finishing(_frame(list(records), COLUMNS, whole="int64"))


@checked
def receipts_to_frame(receipts: Iterable[Receipt]) -> pd.DataFrame:
    """One row per sent task, shape (tasks, len(RECEIPT_COLUMNS)), in the order given.

    As in `to_frame`, but partition and offset are Int64, which can be missing. `lateness` is
    `produced_at - scheduled_at` in seconds: how far the generator was behind its own schedule.
    """
    frame = _frame(list(receipts), RECEIPT_COLUMNS[:-1], whole="Int64")
    return frame.assign(lateness=frame["produced_at"] - frame["scheduled_at"])


@checked
def with_receipts(records: pd.DataFrame, receipts: pd.DataFrame) -> pd.DataFrame:
    """The records with `acknowledged_at` filled in from the producer's receipts, in a new DataFrame.

    Task, partition and offset must agree: a task that was sent twice has two receipts. What has no receipt
    keeps the value it has.
    """
    import pandas as pd

    place = ["task_id", "partition", "offset"]
    acknowledged = receipts.dropna(subset=[*place, "acknowledged_at"]).astype({"partition": "int64", "offset": "int64"})
    times = acknowledged.drop_duplicates(place, keep="last").set_index(place)["acknowledged_at"]
    found = times.reindex(pd.MultiIndex.from_frame(records[place])).to_numpy(dtype="float64")
    return records.assign(acknowledged_at=pd.Series(found, index=records.index).fillna(records["acknowledged_at"]))


@checked
def write_records(frame: pd.DataFrame, path: Path) -> Path:
    """Write the DataFrame as Parquet; the folder is made, and the file appears whole or not at all."""
    with whole_file(path) as part:
        frame.to_parquet(part, index=False)
    return path


@checked
def read_records(*paths: Path) -> pd.DataFrame:
    """Read one or several Parquet files of records into one DataFrame, ordered by finishing time.

    A folder that a worker group has left since it was killed can be read as well (see `labkit.measure.record_store`).

    Raises `RecordsUnreadable`, which names the file: missing, cut off, no Parquet, or not of records.
    """
    import pandas as pd

    frames = [_read(path) for path in paths]
    return in_order_of_finishing(pd.concat(frames, ignore_index=True)) if frames else to_frame([])


def _frame(rows: Sequence[TaskRecord] | Sequence[Receipt], columns: Sequence[str], *, whole: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([getattr(row, name) for row in rows], dtype=column_dtype(name, whole)) for name in columns}
    )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import ArrowException

    if path.is_dir():
        return read_store(path)
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise RecordsUnreadable(f"There is no file {path}. `labkit work` writes the records when it ends.") from error
    except (ArrowException, OSError) as error:
        raise RecordsUnreadable(
            f"{path} cannot be read as Parquet: {_first_line(error)} It was cut off or is something else; "
            "write the records again."
        ) from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise RecordsUnreadable(f"{path} does not hold records of labkit: it has no column {', '.join(missing)}.")
    try:
        return frame.astype({name: column_dtype(name) for name in COLUMNS})
    except (TypeError, ValueError) as error:
        raise RecordsUnreadable(f"{path} does not hold records of labkit: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."


class TurnedAway(Struct, frozen=True, kw_only=True):
    """One task that was turned away: when, on the clock of the records, how, and of which class.

    `action` is that of the verdict: refuse, shed_newest, shed_lowest or spill.
    """

    at: float
    action: str
    priority: int


#: The columns of the DataFrame, in order: those of `TurnedAway` and how many `tasks` share them.
TURNED_AWAY_COLUMNS = (*TurnedAway.__struct_fields__, "tasks")

#: How many moments are told apart at most, and how long they are to begin with when there are more, in seconds: powers
#: of two, so that what was rounded can be rounded again.
MOST_MOMENTS, FIRST_WIDTH = 10_000, 2**-6
#: How wide a moment becomes at most, in seconds, and a step of priorities: what is below 0 is told from what is not.
WIDEST, WIDEST_STEP = 2.0**62, 2**63

_TURNED_AWAY_DTYPES = {"at": "float64", "action": "str", "priority": "int64"}


class TurnedAwayCounter:
    """Counts what is turned away, by moment, in bounded memory.

    When there are more moments than `MOST_MOMENTS`, neighbours are counted together, at the beginning of their time;
    and where that is because there are many priorities, neighbouring priorities too, at the lowest of them.
    """

    def __init__(self) -> None:
        self._counts: Counter[TurnedAway] = Counter()
        self._width = FIRST_WIDTH
        self._step = 1

    def add(self, away: TurnedAway) -> None:
        """One more task was turned away."""
        self._counts[self._rounded(away)] += 1
        while len(self._counts) > MOST_MOMENTS and self._widen():
            counts: Counter[TurnedAway] = Counter()
            for one, number in self._counts.items():
                counts[self._rounded(one)] += number
            self._counts = counts

    def total(self) -> int:
        """How many were turned away so far."""
        return self._counts.total()

    def frame(self) -> pd.DataFrame:
        """As `turned_away_frame`."""
        return _turned_away_frame(self._counts)

    def _widen(self) -> bool:
        """Tell less apart from now on; whether that could be done."""
        if self._step < WIDEST_STEP and len({away.priority for away in self._counts}) > isqrt(MOST_MOMENTS):
            self._step *= 2
        elif self._width < WIDEST:
            self._width *= 2
        else:
            return False
        return True

    def _rounded(self, away: TurnedAway) -> TurnedAway:
        if self._width == FIRST_WIDTH and self._step == 1:
            return away
        at = away.at if self._width == FIRST_WIDTH else away.at // self._width * self._width
        return replace(away, at=at, priority=away.priority // self._step * self._step)


def turned_away_frame(tasks: Iterable[TurnedAway]) -> pd.DataFrame:
    """How many tasks were turned away at each moment, shape (moments, len(COLUMNS)), in the order of time.

    There is one row per moment, action and class. Dtypes are float64, str and int64, also when there is no row.
    """
    return _turned_away_frame(Counter(tasks))


def _turned_away_frame(counts: Counter[TurnedAway]) -> pd.DataFrame:
    import pandas as pd

    rows = sorted(counts.items(), key=lambda row: (row[0].at, row[0].action, row[0].priority))
    columns = {
        name: pd.Series([getattr(away, name) for away, _ in rows], dtype=dtype)
        for name, dtype in _TURNED_AWAY_DTYPES.items()
    }
    return pd.DataFrame({**columns, "tasks": pd.Series([number for _, number in rows], dtype="int64")})

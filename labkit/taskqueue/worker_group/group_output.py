"""What a worker group leaves behind, and who hears of it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.measure.task_record import TaskRecord
from labkit.parameters import check_fields, check_names


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a worker group leaves behind, and who hears of it meanwhile.

    `records` is the Parquet file in which the records are left at the end (by default in the folder of the settings, if
    they name one). `on_record` gets every attempt's record as soon as it is known here, from any thread; what it raises
    is logged. With `log_dir`, worker processes log there by the worker's `logging_config.json`, each in a folder of its
    name. `clock` gives the seconds since the epoch by which the records are dated.

    Raises `BadType`.
    """

    records: Path | None = None
    on_record: Callable[[TaskRecord], object] | None = None
    log_dir: Path | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        check_fields(self)

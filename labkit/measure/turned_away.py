"""What was turned away where a queue grows: refused, shed or spilled, counted by moment.

It is the second DataFrame of a run with a strategy at the door: such tasks leave no record, because nobody works on
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import pandas as pd


class TurnedAway(Struct, frozen=True, kw_only=True):
    """One task that was turned away: when, on the clock of the records, how, and of which class.

    `action` is that of the verdict: refuse, shed_newest, shed_lowest or spill.
    """

    at: float
    action: str
    priority: int


#: The columns of the DataFrame, in order: those of `TurnedAway` and how many `tasks` share them.
COLUMNS = (*TurnedAway.__struct_fields__, "tasks")

_DTYPES = {"at": "float64", "action": "str", "priority": "int64"}


def turned_away_frame(tasks: Iterable[TurnedAway]) -> pd.DataFrame:
    """How many tasks were turned away at each moment, shape (moments, len(COLUMNS)), in the order of time.

    There is one row per moment, action and class. Dtypes are float64, str and int64, also when there is no row.
    """
    import pandas as pd

    given = list(tasks)
    columns = {name: pd.Series([getattr(one, name) for one in given], dtype=dtype) for name, dtype in _DTYPES.items()}
    counts = pd.DataFrame(columns).groupby(list(_DTYPES), sort=True).size().rename("tasks").astype("int64")
    return counts.reset_index()

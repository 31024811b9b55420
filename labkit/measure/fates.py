"""What became of every task that was produced: the sum that has to come out even.

A task may leave several records: a dispatcher or a worker that dies makes the next one begin again. Each task counts
once, by the best that its records say of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from labkit.measure.task_record import BAD, DEAD, DONE, REPEATED, SHED
from labkit.parameters import checked

#: By no record that ends a task: it still waits, or it is gone.
MISSING = "missing"

#: How a task may have ended, the best first.
FATES = (DONE, DEAD, SHED, MISSING)

#: What an outcome says of its task. A delivery that was recognised says that the task was done before, also where the
#: worker died before it could say so itself. An attempt that failed does not end a task.
_FATE_OF = {DONE: DONE, REPEATED: DONE, DEAD: DEAD, BAD: DEAD, SHED: SHED}


@checked
def fates(records: pd.DataFrame, produced: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """How many tasks of each class were done, dead, shed, and missing; `produced`: class -> the ids of its tasks.

    One row per class, in the order given; columns FATES, whose sum is what was produced. A task that was done counts as
    done, whatever else happened to it, and one that is a dead letter is not counted as shed.
    """
    best = fate_of_each(records)
    rows = {name: [best.get(task, MISSING) for task in dict.fromkeys(ids)] for name, ids in produced.items()}
    return pd.DataFrame({fate: {name: own.count(fate) for name, own in rows.items()} for fate in FATES}, dtype="int64")


@checked
def fate_of_each(records: pd.DataFrame) -> dict[str, str]:
    """The fate of each task that has ended, by its id."""
    ended = records.assign(fate=records["outcome"].map(_FATE_OF)).dropna(subset="fate")
    ranked = ended.sort_values("fate", key=lambda column: column.map(FATES.index), kind="stable")
    return dict(ranked.drop_duplicates("task_id")[["task_id", "fate"]].itertuples(index=False, name=None))

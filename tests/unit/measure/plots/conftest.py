"""Records of a run as a student would make it, and of next to nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from labkit.measure import Receipt, TaskRecord, receipts_to_frame, to_frame
from labkit.simulate.worker_group import simulate_worker_group

START = 1_760_000_000.0


@pytest.fixture(scope="session")
def many() -> pd.DataFrame:
    """300 tasks on 2 partitions, done by worker-1 and worker-2."""
    rng = np.random.default_rng(3)
    return simulate_worker_group(
        partition=[n % 2 for n in range(300)],
        scheduled_at=(START + rng.exponential(0.01, 300).cumsum()).tolist(),
        service=rng.uniform(0.01, 0.04, 300).tolist(),
        workers=["worker-1", "worker-2", "worker-3"],
    )


@pytest.fixture(params=["none", pytest.param("one", marks=pytest.mark.long), "many"])
def records(request: pytest.FixtureRequest, attempt: Callable[..., TaskRecord], many: pd.DataFrame) -> pd.DataFrame:
    """Records with no row, one row, many rows."""
    return {"none": to_frame([]), "one": to_frame([attempt()]), "many": many}[request.param]


@pytest.fixture(params=[0, pytest.param(1, marks=pytest.mark.long), 200])
def receipts(request: pytest.FixtureRequest, receipt: Callable[..., Receipt]) -> pd.DataFrame:
    """Receipts with no row, one row, many rows."""
    return receipts_to_frame([receipt(number) for number in range(1, request.param + 1)])

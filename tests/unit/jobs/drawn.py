"""Events of a few jobs, drawn by Hypothesis: also those that concurrent and careless writers would leave."""

from __future__ import annotations

from hypothesis import strategies as st

from labkit.jobs import JobEvent, JobStatus
from labkit.jobs.job import version_of

#: What other programs may write, and no database can hold or no calendar show.
UNKEEPABLE = [
    {"status": "RUNNING", "attempt": 2**62, "version": 2**63},
    {"status": "RUNNING", "attempt": 2**30, "version": 2**31},
    {"at": 1.7e12},
    {"at": -1e12},
    {"worker": "a\0b"},
    {"error": "\0"},
]


@st.composite
def events(draw: st.DrawFn, *, jobs: int = 1) -> JobEvent:
    status = draw(st.sampled_from(JobStatus))
    attempt = 0 if status is JobStatus.NEW else draw(st.integers(1, 3))
    return JobEvent(
        job_id=draw(st.integers(1, jobs)),
        status=status,
        version=version_of(status, attempt),
        at=float(draw(st.integers(0, 3))),
        worker=draw(st.sampled_from([None, "", "a", "b"])),
        attempt=attempt,
        error=draw(st.sampled_from([None, "", "no"])) if status is JobStatus.FAILED else None,
    )

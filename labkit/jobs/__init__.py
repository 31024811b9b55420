"""The life of a job: its changes on the topic `job-status`, the view that is built from them, and who works on jobs.

`Jobs` writes a change, a `JobView` reads it, a `JobConsumer` makes it; docs/jobs.md tells how they go together. What
needs the store is loaded when it is first used: who only writes or asks over HTTP does not wait for SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.jobs.job import JOB_STATUS, MAX_ATTEMPTS, MAX_JOB_ID, Job, JobEvent, JobStatus, merge
from labkit.jobs.processed_log import ProcessedJob, ProcessedLog
from labkit.jobs.writer import Jobs, jobs_topic
from labkit.lazy_names import lazy_names, whole_dir

if TYPE_CHECKING:
    from labkit.jobs.job_consumer import JobConsumer
    from labkit.jobs.view import JobView
    from labkit.jobs.view_location import open_view

__all__ = [
    "JOB_STATUS",
    "MAX_ATTEMPTS",
    "MAX_JOB_ID",
    "Job",
    "JobConsumer",
    "JobEvent",
    "JobStatus",
    "JobView",
    "Jobs",
    "ProcessedJob",
    "ProcessedLog",
    "jobs_topic",
    "merge",
    "open_view",
]

_WITH_THE_STORE = {
    "JobConsumer": "labkit.jobs.job_consumer",
    "JobView": "labkit.jobs.view",
    "open_view": "labkit.jobs.view_location",
}


__getattr__ = lazy_names(__name__, _WITH_THE_STORE)
__dir__ = whole_dir(__name__)

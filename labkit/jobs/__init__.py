"""The life of a job: its changes on the topic `job-status`, the view that is built from them, and who works on jobs.

`Jobs` writes a change, a `JobView` reads it, a `JobConsumer` makes it; docs/jobs.md tells how they go together.
"""

from __future__ import annotations

from labkit.jobs.job import JOB_STATUS, MAX_ATTEMPTS, MAX_JOB_ID, Job, JobEvent, JobStatus, merge
from labkit.jobs.job_consumer import JobConsumer
from labkit.jobs.processed_log import ProcessedJob, ProcessedLog
from labkit.jobs.view import JobView, open_view
from labkit.jobs.writer import Jobs, jobs_topic

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

"""The workers of a group of consumers of jobs."""

from __future__ import annotations

from labkit.taskqueue.worker_group.group import WorkerGroup


class JobGroup(WorkerGroup):
    """Takes for jobs what labkit has written; what others have is a bad record, whatever it looks like."""

    _foreign = "refused"

"""The errors of labkit: one small tree, in which the default message of an error is its docstring too.

What a user can mend is a `LabkitError`: the command line prints its message and exits with 1. Others are defects.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.notebook_traceback import ShortInNotebook


class LabkitError(ShortInNotebook):
    """Something went wrong in labkit."""

    says: ClassVar[str] = "Something went wrong in labkit."  # Python throws docstrings away (PYTHONOPTIMIZE=2)

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.says

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.says)


class SettingsError(LabkitError):
    says = "A setting does not fit. Compare your environment and `.env` with `.env.example`."


class TryAgainLater(LabkitError):
    says = "Something that every task needs from labkit itself is away. That is no attempt of the task; it waits."


# --- the running lab, its brokers and what is on them


class LabError(LabkitError):
    says = "The lab could not be started or reached."


class DownloadError(LabError):
    says = "A file could not be fetched or is not the one the lock file names."


class JavaNotFound(LabError):
    says = "No usable Java runtime was found. Install labkit again, which brings one, or set `LABKIT_JAVA_HOME`."


class DiskFull(LabError):
    says = "The disk is full, so the servers cannot write. Free some space and run `labkit up` again."


class PortInUse(LabError):
    says = "The port is in use by another program."


class ServerFailed(LabError):
    says = "A server of the lab ended or did not answer in time. `labkit logs` shows what it said."


class LabNotRunning(LabError, TryAgainLater):
    says = "No lab is running. Start one with `labkit up`."


class TransportError(LabkitError):
    says = "The broker refused a request or did not answer."


class BrokerUnreachable(TransportError):
    says = "The broker does not answer. Is the lab running? `labkit status` tells."


class NotAuthorized(TransportError):
    says = "The broker refused the credentials. Check the `LABKIT_SASL_…` and `LABKIT_SSL_…` settings."


class TopicMismatch(TransportError):
    says = "The topic exists already, with another shape."


class UnknownTopic(TransportError):
    says = "The topic does not exist."


class NotAcknowledged(TransportError):
    says = "The broker did not acknowledge the record. It may be on the topic all the same."


class CommitRefused(TransportError):
    says = "The group has moved on: another worker owns the partition now, so this offset was not committed."


class MetadataTooLarge(TransportError):
    says = "The broker takes less text with a commit (`offset.metadata.max.bytes`), so nothing was committed."


class Fenced(TransportError):
    says = "Another client works under this transactional id now, or the broker gave up its transaction."


class DeadTopicRefused(TransportError):
    says = "The topic of dead letters cannot be made."


class Unsupported(TransportError):
    says = "This transport cannot do that."


# --- tasks, jobs and messages, those who work on them, and notebooks


class TaskNotEncodable(LabkitError):
    says = "The task cannot be written as JSON."


class BadRecord(LabkitError):
    says = "The record on the topic is not a task."


class UnknownDeadLetter(LabkitError):
    says = "There is no such dead letter."


class NotReplayable(LabkitError):
    says = (
        "The dead letter cannot be put back: its record is missing or holds nothing, or its topic or partition is gone."
    )


class HandlerNotFound(LabkitError):
    says = "The handler could not be imported. Name it as `module:function`."


class UnknownKind(LabkitError):
    says = "No Celery task is registered for this kind of task."


class UnfitForCelery(LabkitError):
    says = "Celery could not perform this task."


class RecordsUnreadable(LabkitError):
    says = "The file does not hold records of labkit, or was cut off."


class RecordsUnwritable(LabkitError):
    says = "The records could not be written."


class HistoryUnreadable(LabkitError):
    says = "The file does not hold a history of labkit, or was cut off."


class NotAccepted(LabkitError):
    says = "The task was not accepted, because too many before it are not finished. Send it again later."


class WorkerFailed(LabkitError):
    says = "A worker ended with an error."


class TaskTimedOut(LabkitError):
    says = "The attempt took longer than it may."


class HandlerNotRun(LabkitError):
    says = "The handler has returned before its work was done: it returned a coroutine, a generator or the like."


class ProcessDied(LabkitError):
    says = "The process that worked on the task has ended."


class KillsItsWorker(LabkitError):
    says = "Every worker that had this task died at it."


class InProgress(TryAgainLater):
    says = "Another delivery of this task is in progress. Try it again later."


class LeaseLost(TryAgainLater):
    says = "This run of a task was taken for dead and another has begun, so this one does not count as done."


class RedisUnreachable(TryAgainLater):
    says = "Redis does not answer, or answers that it can do nothing now. Is the lab running? `labkit status` tells."


class RedisRefused(LabkitError):
    says = "Redis refuses what it was asked: a key holds what another program has put there, or labkit is at fault."


class DoneElsewhere(LabkitError):
    says = "Other members of the group have done some of the tasks, so their records are not here."


class TasksLost(LabkitError):
    says = "Tasks were handed to Celery and have no record, so nobody knows whether they were done."


class DeadlineExceeded(LabkitError):
    says = "There was too little time to see whether it came true. Give a longer `timeout`."


class IllegalTransition(LabkitError):
    says = "The job may not become that."


class BadJobId(LabkitError):
    says = "This is no id of a job."


class StoreFailed(TryAgainLater):
    says = "The store of the jobs cannot be read or written."


class StoreInUse(LabkitError):
    says = "Another process keeps the jobs of another topic in this store."


class ProcessedLogFailed(TryAgainLater):
    says = "The log of the processed jobs cannot be read or written."


class NotAMessage(LabkitError):
    says = "This cannot be a message."


class UnknownQueue(LabkitError):
    says = "There is no such queue of messages. `LABKIT_API_TOPICS` names them."


class BadGroupName(LabkitError):
    says = "This cannot be the name of a group."


class TooManyGroups(LabkitError):
    says = "Too many groups are polled at once."


class MessageTooLarge(LabkitError):
    says = "The message is larger than a record may be."


class UnknownMessage(LabkitError):
    says = "There is no message with this id, or it is older than ids are kept."


class StaleLease(LabkitError):
    says = "The lease is over: the message was given to another poller, or will be."


class IndexLost(LabkitError):
    says = "Redis has lost what it knew of the messages, and it is being read again from Kafka. Try again in a moment."


class ApiUnreachable(LabkitError):
    says = "The HTTP API does not answer."


class ApiRefused(LabkitError):
    says = "The HTTP API refused the request; `status` is the one of HTTP, `type` the type of the problem (RFC 9457)."

    def __init__(self, message: str | None = None, *, status: int = 0, type: str = "") -> None:  # noqa: A002
        super().__init__(message)
        self.status = status
        self.type = type


class NotebookFailed(LabkitError):
    says = "A cell of the notebook raised an error. The executed copy shows where."


class UnknownParameter(LabkitError):
    says = "The notebook has no such parameter."


class SandboxUnavailable(LabkitError):
    says = "Student code runs only in a sandbox, and none can be made here. `make bubblewrap` installs what it needs."


class KernelEnded(LabkitError):
    says = "The process that ran the student's cells has ended. Start a new kernel to go on."


class BadAssignment(LabkitError):
    says = "The folder of an assignment, or a question in it, does not hold what it has to."


class BadCourseSecret(LabkitError):
    says = "The course has no secret from which its hidden checks are drawn, or one that others know."


class BrokerFailed(LabkitError):
    says = "The broker of a submission has failed, which is no fault of the submission. Grade it again."


class GradingFailed(LabkitError):
    says = "The grader itself could not go on with a submission, which is no fault of the submission. Grade it again."

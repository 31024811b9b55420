"""The mistakes that a run may show, by name, in the order in which they are told; and what may help against each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from labkit.grading.question_verdict import Feedback

NOT_THERE = "no such function"
CRASHED = "ended by an error"
ENDED_EARLY = "ended before it was asked to"
ABUSE = "misuse of the grader's means"
TOPIC_GONE = "topic deleted"
TOPIC_CHANGED = "topic with another number of partitions"
WORKED_ON_DONE = "work on what is no NEW job"
UNKNOWN_TASK = "work on a task that nobody sent"
ALL_IN_ONE = "all to one partition"
NOT_AWAITED = "no wait for the acknowledgement"
NOT_JSON = "value that is no JSON"
NO_KEY = "record without its key"
KEY_SPLIT = "one key in several partitions"
OTHER_PARTITIONER = "another partitioner"
SAME_GROUP = "one group for all"
DONE_FIRST = "DONE before the work"
SHARED_CONSUMER = "one consumer shared by threads"
COMMIT_FIRST = "commit before the work"
AUTO_COMMIT = "commits by the clock"
LATE_COMMIT = "finished work not committed"
BLOCKED_POLL = "blocked poll loop"
NOT_IN_GROUP = "workers that do not share one group"
NOT_BEGUN = "no work begun"
NO_SHARE = "a worker without a share"
NOT_TAKEN_OVER = "work of a dead worker left"
NOT_RESUMED = "no work after the broker was silent"
PASSED_OVER = "refused task passed over"
NOT_BORNE = "ended when the other broker was away"
REFUSED_DONE = "refused task committed"
NOT_GROWN = "new partitions left"
LEFT = "tasks left"
LOST = "lost task"
TWICE = "done twice"
DISORDER = "out of order"
ENDED_IN_WORK = "ended while there was work"
NOT_ENDED = "no end after the time-out"
STALE = "a job taken backwards"
WRONG_STATUS = "another status than the events say"
NOT_DONE = "job without DONE"
NO_LINE = "job without a line"
LINE_TWICE = "two lines for one job"
NOT_STOPPED = "no clean stop"
ABANDONED = "task in hand abandoned"
NOT_LEFT = "group not left"
UNCOMMITTED = "last commit missing"
NOT_SENT = "task not on the topic"
SENT_TWICE = "task sent twice"
UNEVEN = "uneven"
WRONG_PLACE = "another place than was said"
ONE_BY_ONE = "wait for each record"
SWALLOWED = "error kept back"

#: By name, what may help. The causes come before what follows from them.
HINTS: dict[str, str] = {
    NOT_THERE: "The cell has to define a function of just this name.",
    CRASHED: "Run the cell yourself, against your own lab, and read the error from its last line.",
    ENDED_EARLY: "A worker polls again when there is nothing to do, until `stop` is set.",
    ABUSE: "Use nothing of the grader but what is handed to the function, and no more of the broker than is needed.",
    TOPIC_GONE: "A worker reads its topic, and neither deletes nor makes one.",
    TOPIC_CHANGED: "The topic is there as it is to be: a producer asks how many partitions it has, and adds none.",
    WORKED_ON_DONE: "Look at the status of each event, and work on those that are NEW.",
    UNKNOWN_TASK: "A task is the text of its record, unchanged.",
    ALL_IN_ONE: "The partition follows from the key, if there is one: leave it out, or name the partition yourself.",
    NOT_AWAITED: "acks='all', and get() on what send() returned: only then has the broker written the record.",
    NOT_JSON: "json.dumps() once, and encode() what it returns.",
    NO_KEY: "send(topic, key=…, value=…): the key as bytes of UTF-8.",
    KEY_SPLIT: "Leave the partition to the client: it follows from the key, so the records of a key stay in order.",
    OTHER_PARTITIONER: "Leave the partition to the client: all take murmur2, and hash() is another in each process.",
    SAME_GROUP: "The members of one group share the records; who is to get all needs a group of its own, or none.",
    DONE_FIRST: "Call `work` first, and write DONE when it has returned.",
    SHARED_CONSUMER: "A consumer belongs to one thread: its commit speaks for all that it has handed out.",
    COMMIT_FIRST: "Do the work first, and commit when it is done.",
    AUTO_COMMIT: "Set enable_auto_commit=False and commit yourself after each task.",
    LATE_COMMIT: "Commit after each task: what is finished and not committed is done again after a crash.",
    BLOCKED_POLL: "Poll again after a few tasks (max_poll_records): the group can only change hands when all poll.",
    NOT_IN_GROUP: "Use the group that is handed to the function, and subscribe() instead of assign().",
    NOT_BEGUN: "A new group begins at the end of the topic unless auto_offset_reset is 'earliest'.",
    NO_SHARE: "Subscribe to the topic, so that the group gives each worker its partitions.",
    NOT_TAKEN_OVER: "Who gets a dead worker's partitions goes on where it has committed.",
    NOT_RESUMED: "A broker may be silent for a moment: go on polling, and try the commit again.",
    PASSED_OVER: "Try the same record again until it is taken, and neither commit it nor poll on before.",
    NOT_BORNE: "Catch the OperationalError around this call, wait a moment and try again, while `stop` is not set.",
    REFUSED_DONE: "When `stop` is set, leave the record that was not taken uncommitted: the next bridge hands it on.",
    NOT_GROWN: "A consumer notices new partitions when it asks again: see metadata_max_age_ms.",
    LEFT: "Poll until `stop` is set, and work on every record of all partitions.",
    LOST: "Commit what is done, and nothing beyond it.",
    TWICE: "Commit after each task, so that a crash repeats as little as possible.",
    DISORDER: "Begin the next task of a partition when the one before it is done.",
    ENDED_IN_WORK: "The time-out counts from the last event: whatever comes begins it anew.",
    NOT_ENDED: "A consumer knows how long nothing came: see consumer_timeout_ms, or note the time of the last event.",
    STALE: "Events may come late: of two events of a job the one with the higher version counts, whichever comes last.",
    WRONG_STATUS: "Of each job the event with the highest version says what it is.",
    NOT_DONE: "Write the event with the job's id as its key, and wait until the broker has acknowledged it.",
    NO_LINE: "Open the log to append, write one line for each job, and close it or flush.",
    LINE_TWICE: "Write the line once, when the job is done.",
    NOT_STOPPED: "Look at `stop` at least once a second, and return when it is set.",
    ABANDONED: "When `stop` is set, finish the task in hand first.",
    NOT_LEFT: "Close the consumer in a `finally`: else its partitions wait until its session is over.",
    UNCOMMITTED: "Commit the last task before the consumer is closed.",
    NOT_SENT: "send() only puts a record into a buffer: wait for what it returns, or flush().",
    SENT_TWICE: "Send each task once, and let the client repeat what was not acknowledged.",
    UNEVEN: "Give the partitions their tasks in turn.",
    WRONG_PLACE: "What send() returns becomes the partition and the offset when the broker has answered.",
    ONE_BY_ONE: "Send all first, and wait then: to wait for each costs a way to the broker and back each time.",
    SWALLOWED: "get() raises what the broker has refused: let it through, and do not only flush().",
}

#: Where the first is known, the second says nothing more.
_CAUSES = {AUTO_COMMIT: LATE_COMMIT, STALE: WRONG_STATUS, PASSED_OVER: LOST, REFUSED_DONE: LOST}
#: So much is told of each mistake.
KEPT = 3

_RANK = {name: place for place, name in enumerate(HINTS)}


def told(found: Iterable[Feedback]) -> list[Feedback]:
    """What is told of all that was found: the causes first, and not too much of each."""
    listed = sorted(found, key=lambda feedback: _RANK[feedback.mistake])
    needless = {_CAUSES[feedback.mistake] for feedback in listed if feedback.mistake in _CAUSES}
    times: Counter[str] = Counter()
    kept = []
    for feedback in listed:
        times[feedback.mistake] += 1
        if times[feedback.mistake] <= KEPT and feedback.mistake not in needless:
            kept.append(feedback)
    return kept

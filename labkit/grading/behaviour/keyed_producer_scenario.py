"""The scenario of a keyed producer: the broker does not answer for a while, and refuses a record of a second call."""

from __future__ import annotations

from collections import Counter, defaultdict

from labkit.grading.behaviour import mistakes
from labkit.grading.behaviour.behaviour_run import PATIENCE, BehaviourRun
from labkit.grading.behaviour.producer_scenario import place_of
from labkit.grading.behaviour.request_count import PRODUCE
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.behaviour.topic_records import TopicRecord
from labkit.grading.question_verdict import quoted
from labkit.grading.sandbox.kernel import Returned
from labkit.grading.student_json import read_json
from labkit.taskqueue.partitioners import key_hash

#: How many records of how many keys it is to send: so many that no other partitioner is right by luck.
RECORDS, KEYS = 48, 12
#: How long the broker does not answer to the first of them, in seconds; and how long they may be on their way then.
WITHHELD, ON_THE_WAY = 1.0, 5.0
#: How large a record may be on the topic of the second call, and how large one of that call is, in bytes.
ALLOWED, TOO_LARGE = 2_000, 4_000

#: A key and a value, as the function gets them.
Sent = tuple[str, dict[str, object]]


def play_keyed_producer(run: BehaviourRun) -> None:
    """`function(bootstrap_servers, topic, records)` is to send each `[key, value]` once, the value as JSON, where its
    key belongs, and to return where each is, as `[partition, offset]` in their order, when the broker has told.
    """
    records = _records(run)
    worker = run.add_worker(records, works=False)
    refused: list[Sent] = [(records[0][0], {"order": 0, "note": "x" * TOO_LARGE})]
    second = run.add_worker(refused, topic=run.add_topic({"max.message.bytes": str(ALLOWED)}), works=False)
    worker.relay.freeze_when(lambda: worker.requests.so_far()[PRODUCE] > 0)
    run.begin(worker)
    awaited = _withhold(run, worker)
    _wait_for_end(run, worker)
    if not awaited:  # what it has written to its socket may come yet
        run.wait(lambda: len(run.records()) >= len(records), ON_THE_WAY)
    worker.relay.cut()
    _look_at_topic(run, records, worker, awaited=awaited)
    _look_at_refusal(run, second)


def _records(run: BehaviourRun) -> list[Sent]:
    keys = [f"customer-{number:04d}" for number in run.rng.sample(range(10_000), KEYS)]
    return [
        (run.rng.choice(keys), {"order": number, "note": f"{run.rng.getrandbits(32):08x}"}) for number in range(RECORDS)
    ]


def _withhold(run: BehaviourRun, worker: StudentWorker) -> bool:
    """Whether it waits while the broker has not answered."""
    run.wait(lambda: worker.is_over() or worker.requests.so_far()[PRODUCE] > 0, PATIENCE)
    returned = run.wait(worker.is_over, WITHHELD)
    worker.relay.restore()
    if returned and worker.requests.so_far()[PRODUCE]:
        run.tell(mistakes.NOT_AWAITED, "It returned before the broker had answered to anything.", who=worker.name)
        return False
    return True


def _wait_for_end(run: BehaviourRun, worker: StudentWorker) -> None:
    if not run.wait(worker.is_over, PATIENCE):
        worker.kill()
        raise run.cut(mistakes.NOT_STOPPED, f"It has not returned within {PATIENCE:g} s.", who=worker.name)


def _look_at_topic(run: BehaviourRun, records: list[Sent], worker: StudentWorker, *, awaited: bool) -> None:
    partitions = run.partitions_now()
    if partitions != run.partitions:
        said = f"The topic had {run.partitions} partitions, and has {partitions} now."
        raise run.cut(mistakes.TOPIC_CHANGED, said)
    found = _by_order(run, records)
    missing = [number for number in range(len(records)) if not found[number]]
    if missing and (awaited or len(missing) == len(records)):
        said = f"{len(missing)} of {len(records)} records were not on the topic when the function had returned."
        run.tell(mistakes.NOT_SENT, said)
    for number, places in found.items():
        if len(places) > 1:
            said = f"The record {quoted(records[number][1])} is on the topic {len(places)} times."
            run.tell(mistakes.SENT_TWICE, said)
    _look_at_keys(run, records, found)
    _look_at_answer(run, found, worker, awaited=awaited)
    if worker.requests.so_far()[PRODUCE] >= len(records):
        said = (
            f"It asked the broker {len(records)} times to write one record, each time when the one before was written."
        )
        run.tell(mistakes.ONE_BY_ONE, said)


def _by_order(run: BehaviourRun, records: list[Sent]) -> dict[int, list[TopicRecord]]:
    """By its number, what is on the topic of each record. Raises `RunCut` for what is no JSON."""
    found: dict[int, list[TopicRecord]] = defaultdict(list)
    for record in run.records():
        try:
            value = read_json(record.text)
        except ValueError:
            said = f"The value {quoted(record.text)} on the topic is no JSON."
            raise run.cut(mistakes.NOT_JSON, said) from None
        if isinstance(value, str):
            said = f"The value {quoted(record.text)} on the topic is a text within JSON: it was made JSON twice."
            raise run.cut(mistakes.NOT_JSON, said)
        number = value.get("order") if isinstance(value, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(records) or value != records[number][1]:
            run.tell(mistakes.UNKNOWN_TASK, f"The value {quoted(record.text)} on the topic is none of the records.")
            continue
        found[number].append(record)
    return found


def _look_at_keys(run: BehaviourRun, records: list[Sent], found: dict[int, list[TopicRecord]]) -> None:
    homes: dict[str, Counter[int]] = defaultdict(Counter)
    for number, places in found.items():
        key = records[number][0]
        for record in places:
            if record.key != key:
                has = "none" if record.key is None else quoted(record.key)
                said = f"The record {quoted(records[number][1])} has the key {key!r}, and on the topic {has}."
                run.tell(mistakes.NO_KEY, said)
                return
            homes[key][record.partition] += 1
    partition_of = key_hash()
    for key, partitions in sorted(homes.items()):
        right = partition_of(key.encode(), run.partitions)
        if len(partitions) > 1:
            numbers = " and ".join(map(str, sorted(partitions)))
            run.tell(
                mistakes.KEY_SPLIT, f"The records of {key!r} are in the partitions {numbers}: their order is lost."
            )
        elif right not in partitions:
            said = (
                f"The records of {key!r} are in partition {next(iter(partitions))}, and other producers put this key "
            )
            run.tell(mistakes.OTHER_PARTITIONER, f"{said}into partition {right}.")


def _look_at_answer(
    run: BehaviourRun, found: dict[int, list[TopicRecord]], worker: StudentWorker, *, awaited: bool
) -> None:
    said = worker.answer.value if isinstance(worker.answer, Returned) else None
    places = [place_of(one) for one in said] if isinstance(said, list) else []
    if awaited and places and all(offset < 0 for _, offset in places):
        told = "It returned no offset of the broker's: it did not ask for an acknowledgement."
        run.tell(mistakes.NOT_AWAITED, told, who=worker.name)
    numbers = {(record.partition, record.offset): number for number, some in found.items() for record in some}
    if [numbers.get(place) for place in places] != list(range(RECORDS)):
        told = (
            "It is to return the partition and the offset of each record, in their order, and what it returned is not "
            "where they are."
        )
        run.tell(mistakes.WRONG_PLACE, told)


def _look_at_refusal(run: BehaviourRun, worker: StudentWorker) -> None:
    worker.may_fail = True
    run.begin(worker)
    _wait_for_end(run, worker)
    if isinstance(worker.answer, Returned):
        said = f"The broker refused a record of {TOO_LARGE} bytes on another topic, and the function returned."
        run.tell(mistakes.SWALLOWED, said, who=worker.name)

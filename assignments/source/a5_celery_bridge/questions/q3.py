"""A record as a Celery message: the model, records that are drawn, and the ways to get it wrong."""

import json

KINDS = ["resize", "mail", "invoice", "index"]
BAD = ["", "not JSON", "[1, 2]", '"resize"', "17", "null", '{"payload": 1}', '{"kind": "resize"}', None]


def payload(rng):
    return rng.choice(
        [f"file {rng.randrange(9)}", rng.randrange(1, 100), [rng.randrange(9), "a"], {"file": "f", "pages": 2}, None]
    )


def task_record(rng):
    headers = [["trace", f"{rng.getrandbits(32):08x}"]]
    if rng.random() < 0.6:
        headers.append(["id", f"{rng.choice(['task', 'Auftrag', 'tâche'])}-{rng.getrandbits(32):08x}"])
    if rng.random() < 0.6:
        headers.append(["priority", str(rng.randrange(10))])
    rng.shuffle(headers)
    return {
        "topic": rng.choice(["orders", "images"]),
        "partition": rng.randrange(4),
        "offset": rng.randrange(3),
        "key": rng.choice([None, "ada", "grace"]),
        "value": json.dumps({"kind": rng.choice(KINDS), "payload": payload(rng)}),
        "headers": headers,
        "is_task": True,
    }


def records(rng):
    """A few, of which the first is read again."""
    some = [task_record(rng) for _ in range(rng.randrange(2, 5))]
    return [[*some, some[0]]]


def with_bad_ones(rng):
    """Tasks, and between them what is none."""
    bad = [{**task_record(rng), "value": value, "is_task": False} for value in rng.sample(BAD, 2)]
    return [[task_record(rng), *bad, task_record(rng)]]


def headers_of(record):
    return dict(record["headers"])


def place(record):
    return f"{record['topic']}-{record['partition']}-{record['offset']}"


def id_of(record):
    return headers_of(record).get("id", place(record))


def level_of(record):
    return int(headers_of(record).get("priority", 9))


def arguments_of(record):
    return [json.loads(record["value"])["payload"]]


def handed_on(records, task_id=id_of, level=level_of, arguments=arguments_of, bad=None, away="OperationalError"):
    """What is sent and returned."""

    def returned(record):
        if record.get("away"):
            return away
        return task_id(record) if record["is_task"] else bad

    sent = [
        {
            "task": json.loads(record["value"])["kind"],
            "id": task_id(record),
            "args": arguments(record),
            "priority": level(record),
        }
        for record in records
        if record["is_task"] and not record.get("away")
    ]
    return {"sent": sent, "returned": [returned(record) for record in records]}


def answer(records):
    return handed_on(records)


def bad_stops(records):
    return handed_on(records, bad="an error")


def error_swallowed(records):
    return handed_on(records, away=None)


def error_hidden(records):
    returned = [id_of(record) if record["is_task"] else None for record in records]
    return {**handed_on(records), "returned": returned}


def by_key(records):
    return handed_on(records, task_id=lambda record: headers_of(record).get("id", record["key"] or place(record)))


def by_offset(records):
    return handed_on(records, task_id=lambda record: headers_of(record).get("id", str(record["offset"])))


def header_ignored(records):
    return handed_on(records, task_id=place)


def first_header(records):
    return handed_on(records, task_id=lambda record: record["headers"][0][1])


def written_bytes(records):
    def written(record):
        found = headers_of(record).get("id")
        return place(record) if found is None else str(found.encode())

    return handed_on(records, task_id=written)


def whole_value(records):
    return handed_on(records, arguments=lambda record: [json.loads(record["value"])])


def raw_value(records):
    return handed_on(records, arguments=lambda record: [{"__type__": "bytes", "__value__": record["value"]}])


def text_of_value(records):
    return handed_on(records, arguments=lambda record: [record["value"]])


def not_in_a_list(records):
    """Where a payload is a list, its parts become the arguments."""

    def unpacked(record):
        (found,) = arguments_of(record)
        if not isinstance(found, list | None):
            raise TypeError("task args must be a list or tuple")
        return found or []

    return handed_on(records, arguments=unpacked)


def urgent_unless_told(records):
    return handed_on(records, level=lambda record: int(headers_of(record).get("priority", 0)))


def upside_down(records):
    return handed_on(records, level=lambda record: 9 - int(headers_of(record).get("priority", 0)))


def no_priority(records):
    return handed_on(records, level=lambda record: 0)

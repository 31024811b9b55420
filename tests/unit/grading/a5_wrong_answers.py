"""The classic wrong answers to `a5_celery_bridge`, by the mistake's name, with the most points they bring."""

from __future__ import annotations

CONFIGURE = """
@with_worker
def configure(app, longest):
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={{"visibility_timeout": 1.5 * longest}},
    )
    {}
"""
PREFETCH_ALONE = "@with_worker\ndef configure(app, longest): app.conf.worker_prefetch_multiplier = 1"
HOUR = "app.conf.broker_transport_options = {}; app.conf.visibility_timeout = 1.5 * longest"

HELD = """
processes, multiplier, seconds, tasks = PROCESSES, MULTIPLIER, SECONDS, TASKS
first = multiplier * processes
last, fair = multiplier * seconds, -(-tasks // (2 * processes)) * seconds
{}
held = {{"first": first, "last": last, "fair": fair}}
"""

HAND_ON = """
import json, uuid

@with_records
def hand_on(record, app):
    place = f"{{record.topic}}-{{record.partition}}-{{record.offset}}"
    headers = {{name: value.decode() for name, value in record.headers}}
    try:
        value = json.loads(record.value)
        kind, payload = value["kind"], value["payload"]
    except Exception:
        return None
    task_id, priority, args = headers.get("id", place), int(headers.get("priority", 9)), [payload]
    {}
    app.send_task(kind, args=args, task_id=task_id, priority=priority)
    return task_id
"""
SWALLOWED = """
    try:
        app.send_task(kind, args=args, task_id=task_id, priority=priority)
    except Exception:
        return None
    return task_id
"""
BAD_STOPS = """
import json

@with_records
def hand_on(record, app):
    value = json.loads(record.value)
    headers = {name: value.decode() for name, value in record.headers}
    task_id = headers.get("id", f"{record.topic}-{record.partition}-{record.offset}")
    app.send_task(
        value["kind"], (value["payload"],), task_id=task_id, priority=int(headers.get("priority", 9))
    )
    return task_id
"""

PAY = """
MARK = "INSERT INTO done VALUES (?)"
IGNORE = "INSERT OR IGNORE INTO done VALUES (?)"
ADD = "UPDATE accounts SET balance = balance + ? WHERE name = ?"
LOOK = "SELECT 1 FROM done WHERE task_id = ?"
seen = set()

@with_bank
def pay(connection, task_id, account, amount):
"""
UNMARKED = """
    with connection:
        connection.execute(ADD, (amount, account))
"""
MARK_IGNORED = """
    with connection:
        connection.execute(IGNORE, (task_id,))
        connection.execute(ADD, (amount, account))
"""
ERROR_KEPT = """
    connection.execute(ADD, (amount, account))
    try:
        connection.execute(MARK, (task_id,))
    except sqlite3.IntegrityError:
        pass
    connection.commit()
"""
IN_MEMORY = """
    if task_id not in seen:
        with connection:
            connection.execute(ADD, (amount, account))
        seen.add(task_id)
"""
IN_MEMORY_BEFORE = """
    if task_id not in seen:
        seen.add(task_id)
        with connection:
            connection.execute(ADD, (amount, account))
"""
MARK_FIRST = """
    marked = connection.execute(IGNORE, (task_id,)).rowcount
    connection.commit()
    if marked:
        connection.execute(ADD, (amount, account))
        connection.commit()
"""
EFFECT_FIRST = """
    if connection.execute(LOOK, (task_id,)).fetchone():
        return
    with connection:
        connection.execute(ADD, (amount, account))
    with connection:
        connection.execute(MARK, (task_id,))
"""
LOOKED_FIRST = """
    cursor = connection.cursor()
    if cursor.execute(LOOK, (task_id,)).fetchone() is None:
        cursor.execute(IGNORE, (task_id,))
        cursor.execute(ADD, (amount, account))
        connection.commit()
"""
MARKED_BY = """
    with connection:
        if connection.execute(IGNORE, ({},)).rowcount:
            connection.execute(ADD, (amount, account))
"""
UNCOMMITTED = """
    if connection.execute(IGNORE, (task_id,)).rowcount:
        connection.execute(ADD, (amount, account))
"""
ABSOLUTE = """
    with connection:
        if connection.execute(IGNORE, (task_id,)).rowcount:
            connection.execute("UPDATE accounts SET balance = ? WHERE name = ?", (amount, account))
"""
IN_DEFAULT = PAY.replace("amount):", "amount, seen=set()):")
IN_KEYWORD = PAY.replace("amount):", "amount, *, seen=set()):")
IN_COUNTER = PAY.replace("seen = set()", "from collections import Counter; seen = Counter()")
COUNTED = """
    if not seen[task_id]:
        with connection:
            connection.execute(ADD, (amount, account))
        seen[task_id] += 1
"""
IN_ATTRIBUTE = """
    if task_id not in pay.seen:
        with connection:
            connection.execute(ADD, (amount, account))
        pay.seen.add(task_id)

pay.seen = set()
"""
MARK_OR_ERROR = """
    with connection:
        connection.execute(MARK, (task_id,))
        connection.execute(ADD, (amount, account))
"""
ERROR_CAUGHT = """
    try:
        with connection:
            connection.execute(ADD, (amount, account))
            connection.execute(MARK, (task_id,))
    except sqlite3.IntegrityError:
        return
"""
LOCKED_FIRST = """
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    if cursor.execute(LOOK, (task_id,)).fetchone() is None:
        cursor.execute(ADD, (amount, account))
        cursor.execute(MARK, (task_id,))
    cursor.execute("COMMIT")
"""
LOOKED_AND_MARKED = """
    if not connection.execute(LOOK, (task_id,)).fetchall():
        connection.execute(ADD, (amount, account))
        connection.execute(MARK, (task_id,))
        connection.commit()
"""

BEAT = """
from datetime import timedelta
from celery.schedules import crontab, schedule

@with_beat
def add_heartbeat(app, service, seconds):
    name, every, args, options = f"heartbeat {{service}}", seconds, (service,), {{"expires": seconds}}
    {}
    app.conf.beat_schedule[name] = {{"task": "heartbeat", "schedule": every, "args": args, "options": options}}
"""
REPLACED = """
@with_beat
def add_heartbeat(app, service, seconds):
    app.conf.beat_schedule = {
        service: {"task": "heartbeat", "schedule": seconds, "args": [service], "options": {"expires": seconds}}
    }
"""
EXPIRES_BESIDE = """
@with_beat
def add_heartbeat(app, service, seconds):
    app.conf.beat_schedule[service] = {
        "task": "heartbeat", "schedule": seconds, "args": (service,), "expires": seconds
    }
"""
BY_PERIODIC_TASK = """
@with_beat
def add_heartbeat(app, service, seconds):
    heartbeat = app.signature("heartbeat", args=(service,))
    app.add_periodic_task(seconds, heartbeat, name=f"heartbeat of {service}", expires=seconds)
"""
BY_UPDATE = """
@with_beat
def add_heartbeat(app, service, seconds):
    entry = {
        "task": "heartbeat",
        "schedule": timedelta(seconds=seconds),
        "args": [service],
        "options": {"expires": timedelta(seconds=0.9 * seconds)},
    }
    app.conf.update(beat_schedule={**app.conf.beat_schedule, service: entry})
"""

#: Other ways to be right.
RIGHT_ANSWERS: list[tuple[str, str]] = [
    ("q1", CONFIGURE.format("app.conf.broker_transport_options = {'visibility_timeout': int(2 * longest)}")),
    ("q1", CONFIGURE.format("app.conf['broker_transport_options'] = dict(visibility_timeout=longest + 1)")),
    ("q1", CONFIGURE.format("app.conf.worker_prefetch_multiplier = 4; app.conf.worker_disable_prefetch = True")),
    (
        "q1",
        CONFIGURE.format("app.conf.task_reject_on_worker_lost = None; app.conf.task_retry_on_worker_lost = True"),
    ),
    ("q2", HELD.format("fair = float(fair)")),
    ("q3", HAND_ON.format("priority = str(priority)")),
    ("q3", HAND_ON.format("app.signature(kind, args).apply_async(task_id=task_id, priority=priority); return task_id")),
    ("q5", PAY + ERROR_CAUGHT),
    ("q5", PAY + LOCKED_FIRST),
    ("q5", PAY + LOOKED_AND_MARKED),
    ("q6", BY_PERIODIC_TASK),
    ("q6", BY_UPDATE),
    ("q6", BEAT.format("every = schedule(seconds)")),
]

#: question, mistake, points, answer
WRONG_ANSWERS: list[tuple[str, str, float, str]] = [
    ("q1", "nothing set", 0, "@with_worker\ndef configure(app, longest): pass"),
    ("q1", "nothing set", 0, "@with_worker\ndef configure(app, longest): app.conf.acks_late = True"),
    ("q1", "acknowledged when it begins", 0, CONFIGURE.format("app.conf.task_acks_late = False")),
    ("q1", "acknowledged when it begins", 0, PREFETCH_ALONE),
    ("q1", "acks_late alone", 0, "@with_worker\ndef configure(app, longest): app.conf.task_acks_late = True"),
    ("q1", "lost with its process", 3, CONFIGURE.format("app.conf.task_reject_on_worker_lost = None")),
    ("q1", "tasks taken ahead", 3, CONFIGURE.format("app.conf.worker_prefetch_multiplier = 4")),
    ("q1", "prefetch without limit", 3, CONFIGURE.format("app.conf.worker_prefetch_multiplier = 0")),
    ("q1", "an hour for all", 2, CONFIGURE.format(HOUR)),
    (
        "q1",
        "as long as the task",
        2,
        CONFIGURE.format("app.conf.broker_transport_options['visibility_timeout'] /= 1.5"),
    ),
    ("q1", "too long", 2, CONFIGURE.format("app.conf.broker_transport_options['visibility_timeout'] = 86400")),
    ("q1", "too long", 2, CONFIGURE.format("app.conf.broker_transport_options['visibility_timeout'] *= 2")),
    (
        "q2",
        "processes forgotten",
        3,
        HELD.format("first, last = multiplier, -(-(tasks - multiplier) // processes) * seconds"),
    ),
    ("q2", "one by one", 1, HELD.format("last, fair = first * seconds, -(-tasks // 2) * seconds")),
    (
        "q2",
        "what runs is not counted",
        1,
        HELD.format("first = min(first + processes, tasks); last = -(-first // processes) * seconds"),
    ),
    ("q2", "shared evenly", 1, HELD.format("first, last = -(-tasks // 2), fair")),
    ("q2", "all taken", 1, HELD.format("first, last = tasks, -(-tasks // processes) * seconds")),
    ("q2", "begun, not done", 1, HELD.format("last, fair = last - seconds, fair - seconds")),
    ("q2", "part of a round", 3, HELD.format("fair = tasks / (2 * processes) * seconds")),
    ("q2", "one worker alone", 3, HELD.format("fair = -(-tasks // processes) * seconds")),
    ("q2", "tasks of the first worker", 3, HELD.format("first = 1000")),
    ("q3", "another id each time", 0, HAND_ON.format("task_id = str(uuid.uuid4())")),
    (
        "q3",
        "another id each time",
        0,
        HAND_ON.format("return app.send_task(kind, args=args, priority=priority).id"),
    ),
    (
        "q3",
        "key taken for the id",
        1,
        HAND_ON.format("task_id = headers.get('id', (record.key or place.encode()).decode())"),
    ),
    ("q3", "offset alone", 0, HAND_ON.format("task_id = headers.get('id', str(record.offset))")),
    ("q3", "header id ignored", 0, HAND_ON.format("task_id = place")),
    ("q3", "first header", 0, HAND_ON.format("task_id = record.headers[0][1].decode()")),
    ("q3", "bytes as they are written", 0, HAND_ON.format("task_id = str(dict(record.headers).get('id', 0) or place)")),
    ("q3", "whole value handed on", 0, HAND_ON.format("args = [value]")),
    ("q3", "value as bytes", 0, HAND_ON.format("args = [record.value]")),
    ("q3", "value as text", 0, HAND_ON.format("args = [record.value.decode()]")),
    ("q3", "arguments not in a list", 0, HAND_ON.format("args = (payload)")),
    ("q3", "urgent unless told", 0, HAND_ON.format("priority = int(headers.get('priority', 0))")),
    ("q3", "priority upside down", 0, HAND_ON.format("priority = 9 - int(headers.get('priority', 0))")),
    ("q3", "no priority", 0, HAND_ON.format("priority = None")),
    ("q3", "stopped by a bad record", 4, BAD_STOPS),
    ("q3", "error taken for a bad record", 4, HAND_ON.format(SWALLOWED.strip())),
    ("q3", "error taken for sent", 4, HAND_ON.format(SWALLOWED.replace("return None", "pass").strip())),
    ("q3", "two records", 0, HAND_ON.format("kind = 'tasks.' + kind")),
    ("q5", "paid each time", 0, PAY + UNMARKED),
    ("q5", "paid each time", 0, PAY + MARK_IGNORED),
    ("q5", "paid each time", 0, PAY + ERROR_KEPT),
    ("q5", "remembered in memory", 0, PAY + IN_MEMORY),
    ("q5", "never acknowledged", 4, PAY + MARK_OR_ERROR),
    ("q5", "remembered in memory", 0, PAY + IN_MEMORY_BEFORE),
    ("q5", "remembered in memory", 0, IN_DEFAULT + IN_MEMORY),
    ("q5", "remembered in memory", 0, IN_KEYWORD + IN_MEMORY),
    ("q5", "remembered in memory", 0, IN_COUNTER + COUNTED),
    ("q5", "remembered in memory", 0, PAY + IN_ATTRIBUTE),
    ("q5", "mark before the effect", 4, PAY + MARK_FIRST),
    ("q5", "effect before the mark", 2, PAY + EFFECT_FIRST),
    ("q5", "looked first", 4, PAY + LOOKED_FIRST),
    ("q5", "known by its content", 4, PAY + MARKED_BY.format("f'{account} {amount}'")),
    ("q5", "one task for each account", 4, PAY + MARKED_BY.format("account")),
    ("q5", "no commit", 0, PAY + UNCOMMITTED),
    ("q5", "amount taken for the balance", 0, PAY + ABSOLUTE),
    ("q5", "error", 0, PAY + "    connection.execute('INSERT INTO nothing VALUES (?)', (task_id,))"),
    ("q6", "never expires", 0, BEAT.format("options = {}")),
    ("q6", "never expires", 0, BEAT.format("options = {'expires': 3600}")),
    ("q6", "expires too late", 0, BEAT.format("options = {'expires': 2 * seconds}")),
    ("q6", "expires at once", 0, BEAT.format("options = {'expires': 1}")),
    ("q6", "expires beside the options", 0, EXPIRES_BESIDE),
    ("q6", "one name for all", 0, BEAT.format("name = 'heartbeat'")),
    ("q6", "schedule replaced", 0, REPLACED),
    ("q6", "minutes for seconds", 0, BEAT.format("every = timedelta(minutes=seconds)")),
    ("q6", "whole seconds", 2, BEAT.format("every = int(seconds); options = {'expires': every}")),
    ("q6", "error", 0, BEAT.format("args = service + 1")),
    ("q6", "milliseconds", 0, BEAT.format("every = 1000 * seconds")),
    ("q6", "crontab for seconds", 0, BEAT.format("every = crontab(minute=f'*/{int(min(seconds, 59))}')")),
    ("q6", "letters as arguments", 0, BEAT.format("args = (service)")),
    ("q6", "no argument", 0, BEAT.format("args = ()")),
    ("q6", "two services", 0, BEAT.format("args = (service.upper(),)")),
]

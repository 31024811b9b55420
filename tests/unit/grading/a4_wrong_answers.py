"""The classic wrong answers to `a4_priority_dispatcher`, by the mistake's name, with the most points they bring."""

from __future__ import annotations

TAKEN = """
@with_redis_copy
def taken(redis, queue):
    names = [f"{{queue}}{{SEPARATOR}}{{level}}" if level else queue for level in LEVELS]
    return {}
"""
WAITING = "sum(redis.llen(name) for name in names)"

ROOM = """
def room(state, name, wanted, now):
    capacity = state["limit"] * sum(state["processes"].values())
    others = sum(number for who, (number, ends) in state["reserved"].items() if who != name and ends > now)
    own = sum(number for number, ends in state["reserved"].values() if ends > now)
    ended = sum(number for who, (number, _) in state["reserved"].items() if who != name)
    return {}
"""

TURN = """
def first(consumer):
    return [record.value.decode() for records in consumer.poll(max_records=1).values() for record in records]

def send(consumer, perform):
    for task in first(consumer):
        perform.delay(task)
        consumer.commit()
        return True
    return False

@with_lists
def turn(high, low, perform, is_full):
"""
UNASKED = """
    while send(high, perform) or send(low, perform):
        pass
"""
ASKED_ONCE = """
    while send(high, perform):
        pass
    if not is_full():
        while send(high, perform) or send(low, perform):
            pass
"""
DROPPED = """
    while True:
        if send(high, perform):
            continue
        tasks = first(low)
        if not tasks or is_full():
            return
        perform.delay(tasks[0])
        low.commit()
"""
BOTH_ASK = """
    while not is_full() and (send(high, perform) or send(low, perform)):
        pass
"""
LOW_FIRST = """
    while not is_full() and send(low, perform):
        pass
    while send(high, perform):
        pass
"""
IN_TURNS = """
    some = True
    while some:
        some = send(high, perform)
        if not is_full():
            some = send(low, perform) or some
"""
LOOKED_ONCE = """
    while send(high, perform):
        pass
    while not is_full() and send(low, perform):
        pass
"""
ONE_LOW = """
    while send(high, perform):
        pass
    if not is_full():
        send(low, perform)
"""
WAITS = """
    while True:
        while send(high, perform):
            pass
        if not low.tasks[low.next:]:
            return
        while is_full():
            pass
        send(low, perform)
"""
LONG_POLL = """
    while True:
        consumer = high
        polled = high.poll(timeout_ms=5000, max_records=1)
        if not polled and not is_full():
            consumer = low
            polled = low.poll(timeout_ms=5000, max_records=1)
        if not polled:
            return
        for record in [record for records in polled.values() for record in records]:
            perform.delay(record.value.decode())
            consumer.commit()
"""
SLEEPS_IN_TURN = """
    from time import sleep
    while True:
        while send(high, perform):
            pass
        if is_full() or not send(low, perform):
            sleep(0.5)
            return
"""
COMMIT_FIRST = """
    while True:
        consumer = high
        tasks = first(high)
        if not tasks and not is_full():
            consumer, tasks = low, first(low)
        if not tasks:
            return
        consumer.commit()
        perform.delay(tasks[0])
"""
COMMIT_OF_BATCH = """
    while True:
        while polled := high.poll():
            for records in polled.values():
                for record in records:
                    perform.delay(record.value.decode())
                    high.commit()
        if is_full() or not send(low, perform):
            return
"""
UNCOMMITTED = """
    while True:
        tasks = first(high) or ([] if is_full() else first(low))
        if not tasks:
            return
        perform.delay(tasks[0])
"""
KEPT_BACK = """
    try:
        while send(high, perform) or (not is_full() and send(low, perform)):
            pass
    except OperationalError as error:
        print(error)
"""

STARVATION = """
from labkit.policies import PriorityClass, make_policy
from labkit.simulate.dispatch import simulate_dispatch

CLASSES = [PriorityClass(name="high"), PriorityClass(name="low")]

def records_of(tasks, policy):
    at, rank = zip(*tasks)
    service = [1.0] * len(tasks)
    return simulate_dispatch(policy, CLASSES, rank=rank, scheduled_at=at, service=service, servers=1, capacity=1)

def told(records, until="started_at", middle="mean", scale=1):
    waits = scale * (records[until] - records["scheduled_at"])
    high, low = (waits[records["priority"] == rank] for rank in (0, 1))
    return {"high": float(high.agg(middle)), "low": float(low.agg(middle)), "longest": float(low.max())}

records = records_of(TASKS, make_policy("strict"))
"""
SWAPPED = """
records["priority"] = 1 - records["priority"]
starvation = told(records)
"""
LOW_PREFERRED = """
records = records_of([(at, 1 - rank) for at, rank in TASKS], make_policy("strict"))
records["priority"] = 1 - records["priority"]
starvation = told(records)
"""
TOGETHER = """
mean = float((records["started_at"] - records["scheduled_at"]).mean())
starvation = {"high": mean, "low": mean, "longest": told(records)["longest"]}
"""

DECIDE = """
@with_plain_view
def decide(view, now):
    high, low = view.classes
    if not view.startable:
        return hold(view)
"""
COUNTING = (
    DECIDE
    + """
    if low.waiting and (not high.waiting or high.credit >= {}):
        return start(view, low, "its turn", {{"high": {}}})
    return start(view, high, "more urgent", {{"high": high.credit + 1}})
"""
)
UPSIDE_DOWN = (
    DECIDE
    + """
    if high.waiting and (not low.waiting or low.credit >= EVERY - 1):
        return start(view, high, "its turn", {"low": 0})
    return start(view, low, "more urgent", {"low": low.credit + 1})
"""
)
GLOBAL_COUNT = (
    """
started = 0
"""
    + DECIDE
    + """
    global started
    started += 1
    return start(view, low if low.waiting and started % EVERY == 0 else view.startable[0], "its turn")
"""
)
MEMO = (
    """
started, known = 0, {}
"""
    + DECIDE
    + """
    global started
    if (str(view), now) not in known:
        started += 1
        known[str(view), now] = low if low.waiting and started % EVERY == 0 else view.startable[0]
    return start(view, known[str(view), now], "its turn")
"""
)
BY_CHANCE = (
    "import random\nchance = random.Random(1)\n"
    + DECIDE
    + """
    return start(view, low if low.waiting and chance.random() < 1 / EVERY else view.startable[0], "its turn")
"""
)
NEVER_ALONE = (
    DECIDE
    + """
    if high.credit >= EVERY - 1:
        return start(view, low, "its turn", {"high": 0}) if low.waiting else hold(view)
    return start(view, high, "more urgent", {"high": high.credit + 1}) if high.waiting else hold(view)
"""
)
A_PLACE_KEPT = (
    DECIDE
    + """
    if low.waiting and high.waiting and high.credit >= EVERY - 1:
        return start(view, low, "its turn", {"high": 0})
    if high.waiting:
        return start(view, high, "more urgent", {"high": high.credit + 1})
    return start(view, low, "alone") if view.taken < view.capacity - 1 else hold(view)
"""
)
BEYOND = """
@with_plain_view
def decide(view, now):
    high, low = view.classes
    if high.waiting and high.credit < EVERY - 1:
        return start(view, high, "more urgent", {"high": high.credit + 1})
    if not view.startable:
        return hold(view)
    return start(view, low if low.waiting else high, "its turn", {"high": 0})
"""
SLEEPS = """
import time
from time import sleep

@with_plain_view
def decide(view, now):
    high, low = view.classes
    if not view.startable:
        time.sleep(0.01)
        return hold(view)
    if low.waiting and (not high.waiting or high.credit >= EVERY - 1):
        return start(view, low, "its turn", {"high": 0})
    return start(view, high, "more urgent", {"high": high.credit + 1})
"""
NO_DECISION = """
@with_plain_view
def decide(view, now):
    return view.startable[0].name if view.startable else None
"""

BATCHES = """
from kafka import OffsetAndMetadata

@with_lists
def turn(high, low, perform, is_full):
    while True:
        for place, records in high.poll(timeout_ms=100).items():
            for record in records:
                perform.delay(record.value.decode())
                high.commit({place: OffsetAndMetadata(record.offset + 1, "", -1)})
        if high.poll(max_records=1):
            (place,) = high.assignment()
            high.seek(place, high.position(place) - 1)
            continue
        if is_full() or not send(low, perform):
            return
"""
PUT_BACK = """
    while True:
        if send(high, perform):
            continue
        tasks = first(low)
        if not tasks:
            return
        if is_full():
            (place,) = low.assignment()
            low.seek(place, low.position(place) - 1)
            return
        perform.delay(tasks[0])
        low.commit()
"""
BY_HAND = """
waiting, now, started = list(TASKS), 0.0, []
while waiting:
    here = [task for task in waiting if task[0] <= now] or [min(waiting)]
    task = min(here, key=lambda task: (task[1], task[0]))
    waiting.remove(task)
    now = max(now, task[0])
    started.append((now - task[0], task[1]))
    now += 1.0
highs, lows = ([wait for wait, rank in started if rank == own] for own in (0, 1))
starvation = {"high": sum(highs) / len(highs), "low": sum(lows) / len(lows), "longest": max(lows)}
"""
BY_POLICY = """
from msgspec.structs import replace

@with_plain_view
def decide(view, now):
    high, low = view.classes
    return make_policy({}).decide(replace(view, classes=({}, {})), now)
"""
#: Other ways to be right.
RIGHT_ANSWERS: list[tuple[str, str]] = [
    ("q1", TAKEN.format(f"len(redis.hgetall('unacked')) + {WAITING}")),
    (
        "q1",
        TAKEN.format(
            "sum(map(redis.llen, redis.scan_iter(queue + SEPARATOR + '*', count=100))) + redis.llen(queue)"
        ).replace("return", "return redis.hlen(b'unacked') +"),
    ),
    ("q1", TAKEN.format("redis.hlen('unacked') + sum(len(redis.lrange(name, 0, -1)) for name in names)")),
    ("q2", ROOM.format("min(wanted, max(capacity - others - state['taken'], 0))")),
    ("q3", TURN.partition("@with_lists")[0] + BATCHES),
    ("q3", TURN + PUT_BACK),
    ("q4", BY_HAND),
    ("q4", STARVATION + "starvation = {name: round(wait, 2) for name, wait in told(records).items()}"),
    ("q5", BY_POLICY.format("'quota'", "high", "replace(low, share=1 / EVERY)")),
    ("q5", BY_POLICY.format("'weighted'", "replace(high, weight=EVERY - 1)", "low")),
    ("q5", COUNTING.format("EVERY - 1", "0").replace("high.credit", "0 + high.credit")),
    ("q6", "price = round(HIGH_WAIT + (LOW_WAIT - LOW_WAIT_CURED) * LOW_RATE / HIGH_RATE, 2)"),
]

#: question, mistake, points, answer
WRONG_ANSWERS: list[tuple[str, str, float, str]] = [
    ("q1", "LLEN of one level only", 0, TAKEN.format("redis.llen(queue) + redis.hlen('unacked')")),
    ("q1", "one level, and not what workers hold", 0, TAKEN.format("redis.llen(queue)")),
    ("q1", "what workers hold forgotten", 0, TAKEN.format(WAITING)),
    ("q1", "what waits forgotten", 0, TAKEN.format("redis.hlen('unacked')")),
    ("q1", "counted twice", 0, TAKEN.format(f"{WAITING} + redis.hlen('unacked') + redis.zcard('unacked_index')")),
    (
        "q1",
        "another queue counted",
        0,
        TAKEN.format(
            "redis.hlen('unacked') + sum(redis.llen(key.decode()) for key in redis.keys(queue + '*'))",
        ),
    ),
    ("q1", "lists counted", 0, TAKEN.format("sum(redis.llen(name) > 0 for name in names) + redis.hlen('unacked')")),
    ("q1", "a quiet queue", 0, TAKEN.format(f"{WAITING} + redis.hlen('unacked') + 1")),
    ("q2", "one too many", 0, ROOM.format("max(0, min(wanted, capacity - state['taken'] - others + 1))")),
    ("q2", "check, then send", 0, ROOM.format("max(0, min(wanted, capacity - state['taken']))")),
    ("q2", "own reservation counted", 0, ROOM.format("max(0, min(wanted, capacity - state['taken'] - own))")),
    ("q2", "reservations of the dead kept", 0, ROOM.format("max(0, min(wanted, capacity - state['taken'] - ended))")),
    (
        "q2",
        "all or nothing",
        0,
        ROOM.format("wanted if capacity - state['taken'] - others >= wanted else 0"),
    ),
    ("q2", "more than is wanted", 0, ROOM.format("max(0, capacity - state['taken'] - others)")),
    ("q2", "less than nothing", 2, ROOM.format("min(wanted, capacity - state['taken'] - others)")),
    (
        "q2",
        "limit taken for all",
        0,
        ROOM.format("max(0, min(wanted, state['limit'] - state['taken'] - others))"),
    ),
    (
        "q2",
        "workers counted",
        0,
        ROOM.format("max(0, min(wanted, state['limit'] * len(state['processes']) - state['taken'] - others))"),
    ),
    ("q3", "low sent without asking", 2, TURN + UNASKED),
    ("q3", "asked once for all", 2, TURN + ASKED_ONCE),
    ("q3", "read and dropped", 2, TURN + DROPPED),
    ("q3", "high waits, too", 2, TURN + BOTH_ASK),
    ("q3", "low before high", 0, TURN + LOW_FIRST),
    ("q3", "in turns", 0, TURN + IN_TURNS),
    ("q3", "high looked at once", 2, TURN + LOOKED_ONCE),
    ("q3", "one low task a turn", 0, TURN + ONE_LOW),
    ("q3", "waits for room", 2, TURN + WAITS),
    ("q3", "waits for tasks", 2, TURN + LONG_POLL),
    ("q3", "waits for tasks", 2, TURN + SLEEPS_IN_TURN),
    ("q3", "commit before sending", 4, TURN + COMMIT_FIRST),
    ("q3", "commit of all that was read", 4, TURN + COMMIT_OF_BATCH),
    ("q3", "no commit", 0, TURN + UNCOMMITTED),
    ("q3", "error kept back", 4, TURN + KEPT_BACK),
    ("q4", "service counted", 0, STARVATION + "starvation = told(records, until='finished_at')"),
    (
        "q4",
        "in order of arrival",
        0,
        STARVATION + "starvation = told(records_of(TASKS, make_policy('aging', rate=1e6)))",
    ),
    ("q4", "classes swapped", 0, STARVATION + SWAPPED),
    ("q4", "low preferred", 0, STARVATION + LOW_PREFERRED),
    ("q4", "milliseconds", 0, STARVATION + "starvation = told(records, scale=1000)"),
    ("q4", "median", 1, STARVATION + "starvation = told(records, middle='median')"),
    ("q4", "both classes together", 1, STARVATION + TOGETHER),
    ("q5", "strict priority", 0, DECIDE + '    return start(view, view.startable[0], "more urgent")'),
    ("q5", "high beyond the room", 0, BEYOND),
    (
        "q5",
        "high beyond the room",
        0,
        "@with_plain_view\ndef decide(view, now): return make_policy('reserve').decide(view, now)",
    ),
    (
        "q5",
        "first come, first served",
        0,
        DECIDE + '    return start(view, min(view.startable, key=lambda one: one.arrived_at), "came first")',
    ),
    ("q5", "weights upside down", 0, UPSIDE_DOWN),
    (
        "q5",
        "equal turns",
        5,
        DECIDE + '    return start(view, min(view.startable, key=lambda one: one.name == view.last), "not its turn")',
    ),
    ("q5", "one too few", 5, COUNTING.format("EVERY", "0")),
    ("q5", "low gets too little", 5, COUNTING.format("EVERY + 2", "0")),
    ("q5", "high pays too much", 5, COUNTING.format("EVERY - 2", "0")),
    ("q5", "high starves", 0, COUNTING.format("EVERY - 1", "high.credit - EVERY + 1")),
    ("q5", "high starves", 0, DECIDE + '    return start(view, view.startable[-1], "low goes first")'),
    ("q5", "another answer each time", 0, GLOBAL_COUNT),
    ("q5", "another answer each time", 0, MEMO),
    ("q5", "another answer each time", 0, BY_CHANCE),
    ("q5", "tasks never started", 0, NEVER_ALONE),
    ("q5", "tasks never started", 0, "@with_plain_view\ndef decide(view, now): return hold(view)"),
    ("q5", "room left empty", 6, A_PLACE_KEPT),
    ("q5", "no decision", 0, NO_DECISION),
    ("q5", "no decision", 0, "@with_plain_view\ndef decide(view, now): return view.high"),
    (
        "q5",
        "starts what does not wait",
        0,
        '@with_plain_view\ndef decide(view, now): return start(view, view.classes[1], "")',
    ),
    ("q5", "waits or sleeps", 0, SLEEPS),
    ("q5", "waits or sleeps", 0, SLEEPS.replace("time.sleep", "sleep")),
    ("q5", "waits or sleeps", 0, "@with_plain_view\ndef decide(view, now): return hang()"),
    ("q6", "nothing is paid", 0, "price = HIGH_WAIT"),
    ("q6", "one for one", 0, "price = HIGH_WAIT + LOW_WAIT - LOW_WAIT_CURED"),
    ("q6", "rates upside down", 0, "price = HIGH_WAIT + HIGH_RATE / LOW_RATE * (LOW_WAIT - LOW_WAIT_CURED)"),
    ("q6", "only what is added", 0, "price = LOW_RATE / HIGH_RATE * (LOW_WAIT - LOW_WAIT_CURED)"),
    ("q6", "paid by all", 0, "price = HIGH_WAIT + LOW_RATE / (LOW_RATE + HIGH_RATE) * (LOW_WAIT - LOW_WAIT_CURED)"),
    ("q6", "a gain for both", 0, "price = HIGH_WAIT - LOW_RATE / HIGH_RATE * (LOW_WAIT - LOW_WAIT_CURED)"),
    ("q6", "wait of high", 0, "price = 1000"),
]

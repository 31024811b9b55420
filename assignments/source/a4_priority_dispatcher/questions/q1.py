"""What fills Celery: the model, drawn states of a Redis, and the ways to miscount."""

import json

LEVELS = [0, 3, 6, 9]
QUEUES = ["celery", "jobs", "reports", "thumbnails"]


def name_of(queue, level):
    return f"{queue}\x06\x16{level}" if level else queue


def message(rng, queue, level):
    """As kombu writes it, without what is long."""
    tag = f"{rng.getrandbits(64):016x}"
    place = {"exchange": "", "routing_key": queue}
    properties = {"delivery_tag": tag, "delivery_info": place, "priority": level}
    return tag, {"body": "W1tdLCB7fSwge31d", "headers": {"task": "perform", "id": tag}, "properties": properties}


def held(rng):
    """What a Redis holds of one queue; another one has lists there, too, and nobody takes from those."""
    queue = rng.choice(QUEUES)
    lists = {f"{queue}-later": [json.dumps(message(rng, queue, 0)[1]) for _ in range(rng.randrange(1, 4))]}
    for level in LEVELS:
        if waiting := rng.choice([0, 0, 1, 2, 3, 5]):
            lists[name_of(queue, level)] = [json.dumps(message(rng, queue, level)[1]) for _ in range(waiting)]
    taken = [message(rng, queue, rng.choice(LEVELS)) for _ in range(rng.randrange(6))]
    hashes, zsets = {"workers": {"celery-a": "2", "celery-b": "4"}}, {}
    if taken:
        hashes["unacked"] = {tag: json.dumps([one, "", queue]) for tag, one in taken}
        zsets["unacked_index"] = {tag: 1.7e9 + rng.randrange(1000) for tag, _ in taken}
    return {"lists": lists, "hashes": hashes, "zsets": zsets}, queue


def waiting_only(state, queue):
    return sum(len(state["lists"].get(name_of(queue, level), [])) for level in LEVELS)


def held_only(state, queue):
    return len(state["hashes"].get("unacked", {}))


def answer(state, queue):
    return waiting_only(state, queue) + held_only(state, queue)


def one_level_waiting(state, queue):
    return len(state["lists"].get(queue, []))


def one_level(state, queue):
    return one_level_waiting(state, queue) + held_only(state, queue)


def held_twice(state, queue):
    return answer(state, queue) + len(state["zsets"].get("unacked_index", {}))


def by_prefix(state, queue):
    lists = [len(tasks) for name, tasks in state["lists"].items() if name.startswith(queue)]
    return sum(lists) + held_only(state, queue)


def lists_counted(state, queue):
    return sum(name_of(queue, level) in state["lists"] for level in LEVELS) + held_only(state, queue)

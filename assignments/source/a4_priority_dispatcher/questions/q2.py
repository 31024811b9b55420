"""How many may be sent: the model, what is drawn, which is nearly full most times, and the ways to get it wrong."""


def asked(rng):
    """What is counted, who asks, how many it wants, and when."""
    now = rng.randrange(100, 200) + 0.25
    processes = {f"celery-{name}": rng.randrange(1, 5) for name in "abc"[: rng.randrange(1, 4)]}
    limit = rng.randrange(1, 4)
    names = [f"dispatcher-{number}" for number in range(1, 5)]
    reserved = {
        name: [rng.randrange(1, 4), now + rng.choice([-3.0, -0.5, 0.0, 0.5, 2.0, 4.0])]
        for name in names
        if rng.random() < 0.5
    }
    capacity = limit * sum(processes.values())
    taken = max(0, capacity - rng.choice([-2, 0, 0, 1, 2, 3, 4, 5, 6, 8]))
    state = {"taken": taken, "processes": processes, "limit": limit, "reserved": reserved}
    return state, rng.choice(names), rng.randrange(1, 7), now


def capacity(state):
    return state["limit"] * sum(state["processes"].values())


def others(state, name, now):
    return sum(number for who, (number, ends) in state["reserved"].items() if who != name and ends > now)


def left(state, name, now):
    return capacity(state) - state["taken"] - others(state, name, now)


def answer(state, name, wanted, now):
    return max(0, min(wanted, left(state, name, now)))


def one_too_many(state, name, wanted, now):
    return max(0, min(wanted, left(state, name, now) + 1))


def without_reservations(state, name, wanted, now):
    return max(0, min(wanted, capacity(state) - state["taken"]))


def own_counted(state, name, wanted, now):
    return max(0, min(wanted, left(state, None, now)))


def ended_counted(state, name, wanted, now):
    return max(0, min(wanted, left(state, name, -1.0)))


def all_or_nothing(state, name, wanted, now):
    return wanted if left(state, name, now) >= wanted else 0


def unbounded(state, name, wanted, now):
    return max(0, left(state, name, now))


def negative(state, name, wanted, now):
    return min(wanted, left(state, name, now))


def limit_of_all(state, name, wanted, now):
    return max(0, min(wanted, state["limit"] - state["taken"] - others(state, name, now)))


def workers_counted(state, name, wanted, now):
    room = state["limit"] * len(state["processes"])
    return max(0, min(wanted, room - state["taken"] - others(state, name, now)))

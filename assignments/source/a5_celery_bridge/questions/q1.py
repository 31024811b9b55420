"""A worker by its settings: what comes of its tasks, what is drawn, and the ways to set it wrong."""


def worker(rng):
    """What happens to a worker; where it dies, the longest task is much shorter or much longer than an hour."""
    longest = rng.choice([rng.randrange(60, 600), rng.randrange(600, 1700), rng.randrange(4000, 20000)])
    return {"what": "the worker is killed", "processes": rng.randrange(1, 9)}, longest


def set_up(case, longest, *, late=True, rejects=True, multiplier=1, visible_after=None):
    """What comes of a worker that is set so; Redis' own visibility time-out is an hour."""
    if case["what"] == "a process is killed":
        return {"its task": "is done again" if late and rejects else "is lost"}
    if case["what"] == "tasks wait":
        taken = (multiplier + (not late)) * case["processes"]  # what runs counts until it is acknowledged
        return {"taken": taken if multiplier else "all there are"}
    timeout = 1.5 * longest if visible_after is None else visible_after
    again = "are done again " + ("in time" if timeout <= 2 * longest else "too late")
    twice = late and timeout <= longest
    return {
        "its tasks": again if late else "are lost",
        "the longest task of another worker": "is begun twice" if twice else "is begun once",
    }


def answer(case, longest):
    return set_up(case, longest)


def early(case, longest):
    return set_up(case, longest, late=False)


def nothing_set(case, longest):
    return set_up(case, longest, late=False, rejects=False, multiplier=4, visible_after=3600)


def late_alone(case, longest):
    return set_up(case, longest, rejects=False)


def late_and_all_else_left(case, longest):
    return set_up(case, longest, rejects=False, multiplier=4, visible_after=3600)


def default_prefetch(case, longest):
    return set_up(case, longest, multiplier=4)


def no_limit(case, longest):
    return set_up(case, longest, multiplier=0)


def an_hour(case, longest):
    return set_up(case, longest, visible_after=3600)


def as_long(case, longest):
    return set_up(case, longest, visible_after=longest)


def too_long(case, longest):
    return set_up(case, longest, visible_after=86400)

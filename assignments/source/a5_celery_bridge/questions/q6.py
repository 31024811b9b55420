"""Heartbeats in Beat's schedule: the model, services that are drawn, and the ways to get an entry wrong."""

SERVICES = ["api", "billing", "mail", "search", "images"]
AWAY, LOOKS = 10, (0.1, 0.5)
OTHERS = {"task": "clean_up", "args": [], "every": 3600.0, "waiting": [AWAY, AWAY]}


def services(rng):
    """A few, with periods that no crontab has; that of the first is no whole number."""
    names = rng.sample(SERVICES, rng.randrange(2, 4))
    periods = [rng.choice([11, 13, 17, 25, 40, 45, 70, 95, 100]) for _ in names]
    periods[0] += 0.5
    return [[[name, period] for name, period in zip(names, periods, strict=True)]]


def entry(service, every, expires):
    sent = range(AWAY)
    left = [sum(expires is None or (before + look) * every < expires for before in sent) for look in LOOKS]
    return {"task": "heartbeat", "args": [service], "every": float(every), "waiting": left}


def scheduled(services, make, others=(OTHERS,)):
    found = [*others, *(make(service, seconds) for service, seconds in services)]
    return sorted(found, key=lambda entry: (entry["task"], entry["args"]))


def answer(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, seconds))


def never_expires(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, None))


def expires_late(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, 2 * seconds))


def expires_at_once(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, 0))


def expires_beside(services):
    unknown = {"unknown to Beat": ["expires"]}
    return scheduled(services, lambda service, seconds: entry(service, seconds, None) | unknown)


def cut_off(services):
    return scheduled(services, lambda service, seconds: entry(service, int(seconds), int(seconds)))


def one_name(services):
    return scheduled(services[-1:], lambda service, seconds: entry(service, seconds, seconds))


def replaced(services):
    return scheduled(services[-1:], lambda service, seconds: entry(service, seconds, seconds), others=())


def minutes(services):
    return scheduled(services, lambda service, seconds: entry(service, 60 * seconds, seconds))


def milliseconds(services):
    return scheduled(services, lambda service, seconds: entry(service, 1000 * seconds, seconds))


def of_crontab(services):
    made = {"every": "of a crontab", "waiting": []}
    return scheduled(services, lambda service, seconds: entry(service, seconds, seconds) | made)


def letters(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, seconds) | {"args": list(service)})


def no_argument(services):
    return scheduled(services, lambda service, seconds: entry(service, seconds, seconds) | {"args": []})

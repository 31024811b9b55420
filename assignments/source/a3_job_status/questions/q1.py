"""What a job is by its events: the model, what is drawn, and the ways to get it wrong."""


def events(rng):
    """Events of some jobs, late and twice. Some jobs have failed often, and of some a worker goes on after DONE."""
    listed = []
    for job in rng.sample(range(100, 1000), 6):
        name, attempts = str(job), rng.randrange(0, 7)
        own = [[name, "NEW", 1]]
        for attempt in range(1, attempts + 1):
            own += [[name, "RUNNING", 2 * attempt], [name, "FAILED", 2 * attempt + 1]]
        if attempts and rng.random() < 0.6:
            own[-1] = [name, "DONE", 2 * attempts + 1]
            if rng.random() < 0.7:
                own.append([name, "RUNNING", 2 * attempts + 2])
        elif attempts and rng.random() < 0.5:
            own.pop()
        listed += own + rng.sample(own, 1)
    rng.shuffle(listed)
    return [listed]


def answer(events):
    best = {}
    for job, status, version in events:
        best[job] = max(best.get(job, (False, 0, "")), (status == "DONE", version, status))
    return {job: status for job, (_, _, status) in best.items()}


def by_last(events):
    return {job: status for job, status, _ in events}


def by_first(events):
    return {job: status for job, status, _ in reversed(events)}


def by_version(events):
    return {job: status for job, status, _ in sorted(events, key=lambda event: event[2])}


def by_text(events):
    ordered = sorted(events, key=lambda event: (event[1] == "DONE", str(event[2])))
    return {job: status for job, status, _ in ordered}


def by_alphabet(events):
    return {job: status for job, status, _ in sorted(events, key=lambda event: event[1])}


def only_done(events):
    return {job: status for job, status in answer(events).items() if status == "DONE"}

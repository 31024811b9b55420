"""A turn of the dispatcher: the model, what is drawn, and the ways to get it wrong, each as a turn."""


class Away(Exception):
    """Celery does not answer."""


class Line:
    """A topic as its consumer sees it."""

    def __init__(self, tasks):
        self.tasks, self.read, self.committed = list(tasks), 0, 0

    def poll(self, most=1):
        """The next tasks."""
        found = self.tasks[self.read : self.read + most]
        self.read += len(found)
        return found

    def commit(self):
        """All that was read."""
        self.committed = self.read


class Celery:
    """Takes tasks until it goes away; has so much room, and high tasks come while it takes them."""

    def __init__(self, case, high):
        self.case, self.high, self.sent = case, high, []

    def delay(self, task):
        """Take it. Raises `Away`."""
        if len(self.sent) + 1 == self.case["fails_at"]:
            raise Away
        self.sent.append(task)
        self.high.tasks += self.case["late"].get(str(len(self.sent)), [])

    def is_full(self):
        """Whether there is no room now."""
        return len(self.sent) >= self.case["room"]


def calm(rng):
    high = [f"h{number}" for number in range(1, rng.randrange(5) + 1)]
    low = [f"l{number}" for number in range(1, rng.randrange(1, 7) + 1)]
    late = {}
    if rng.random() < 0.7:
        come = [f"h{len(high) + number}" for number in range(1, rng.randrange(2, 4))]
        late[str(len(high) + rng.randrange(1, 3))] = come
    room = max(0, len(high) + rng.choice([-1, 0, 1, 2, 3, 4, 9]))
    return [{"high": high, "low": low, "room": room, "late": late, "fails_at": 0}]


def away(rng):
    """At some task that is to be sent."""
    (case,) = calm(rng)
    case["high"] = [f"h{number}" for number in range(1, rng.randrange(2, 6))]
    case["late"], case["room"] = {}, len(case["high"]) + rng.randrange(3)
    to_send = len(case["high"]) + min(len(case["low"]), case["room"] - len(case["high"]))
    return [{**case, "fails_at": rng.randrange(1, to_send + 1)}]


def played(turn):
    """What comes of a case when this turn is made."""

    def play(case):
        high, low = Line(case["high"]), Line(case["low"])
        celery, end = Celery(case, high), "returned"
        try:
            turn(high, low, celery)
        except Away:
            end = "OperationalError"
        read = high.tasks[: high.read] + low.tasks[: low.read]
        return {
            "sent": celery.sent,
            "committed": {"high": high.committed, "low": low.committed},
            "dropped": [task for task in read if task not in celery.sent] if end == "returned" else [],
            "end": end,
        }

    return play


def send(line, celery):
    """Whether there was a task to be sent."""
    for task in line.poll():
        celery.delay(task)
        line.commit()
        return True
    return False


def next_tasks(high, low, celery):
    """Each task in its turn, read and not sent yet, with the topic that it is of."""
    while True:
        line = high if high.read < len(high.tasks) else low
        if line is low and celery.is_full():
            return
        tasks = line.poll()
        if not tasks:
            return
        yield line, tasks[0]


@played
def answer(high, low, celery):
    while send(high, celery) or (not celery.is_full() and send(low, celery)):
        pass


@played
def unasked(high, low, celery):
    while send(high, celery) or send(low, celery):
        pass


@played
def asked_once(high, low, celery):
    while send(high, celery):
        pass
    if not celery.is_full():
        while send(high, celery) or send(low, celery):
            pass


@played
def dropped(high, low, celery):
    while True:
        while send(high, celery):
            pass
        for task in low.poll():
            if celery.is_full():
                return
            celery.delay(task)
            low.commit()
            break
        else:
            return


@played
def both_ask(high, low, celery):
    while not celery.is_full() and (send(high, celery) or send(low, celery)):
        pass


@played
def low_first(high, low, celery):
    while not celery.is_full() and send(low, celery):
        pass
    while send(high, celery):
        pass


@played
def in_turns(high, low, celery):
    while True:
        some = send(high, celery)
        if not celery.is_full():
            some |= send(low, celery)
        if not some:
            return


@played
def looked_once(high, low, celery):
    while send(high, celery):
        pass
    while not celery.is_full() and send(low, celery):
        pass


@played
def one_low(high, low, celery):
    while send(high, celery):
        pass
    if not celery.is_full():
        send(low, celery)


@played
def waits(high, low, celery):
    while True:
        while send(high, celery):
            pass
        if low.read == len(low.tasks):
            return
        if celery.is_full():
            raise TimeoutError  # as the notebook's Celery does when it is asked again and again
        send(low, celery)


@played
def waits_for_tasks(high, low, celery):
    while send(high, celery):
        pass
    raise TimeoutError  # as the notebook's consumer does, and its sleep


@played
def commit_first(high, low, celery):
    for line, task in next_tasks(high, low, celery):
        line.commit()
        celery.delay(task)


@played
def commit_of_batch(high, low, celery):
    while True:
        while tasks := high.poll(500):
            for task in tasks:
                celery.delay(task)
                high.commit()
        if celery.is_full() or not send(low, celery):
            return


@played
def uncommitted(high, low, celery):
    for _, task in next_tasks(high, low, celery):
        celery.delay(task)


@played
def kept_back(high, low, celery):
    try:
        while send(high, celery) or (not celery.is_full() and send(low, celery)):
            pass
    except Away:
        return

"""Asking until a job has ended: the model, what is drawn, and the ways to get it wrong."""

PASS = ("lost", "404", "429", "503")
REFUSED = ("400", "401", "403")
ENDS = ("DONE", "FAILED")
#: After so many requests it is stopped, and so many of its pauses are told.
MOST, TOLD = 60, 20


class Endless(Exception):
    """It asks again and again."""


class Job:
    """What one sees of a job that asks for it, and the clock meanwhile, in seconds."""

    def __init__(self, answers, seconds):
        self.answers, self.seconds, self.now, self.asked, self.pauses = list(answers), seconds, 1000.0, 0, []

    def ask(self):
        """What the server says: a status of the job or of HTTP, or that it is lost."""
        self.asked, self.now = self.asked + 1, self.now + self.seconds
        if self.asked > MOST:
            raise Endless
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def pause(self, seconds):
        """Wait."""
        self.pauses.append(seconds)
        self.now += seconds


def life(rng, *, most):
    """What is seen of a job before its end, with faults between."""
    seen = ["404"] * rng.choice([0, 0, 1, 2])
    seen += ["NEW"] * rng.randrange(most) + ["RUNNING"] * rng.randrange(1, most)
    for _ in range(rng.randrange(3)):
        seen.insert(rng.randrange(len(seen)), rng.choice(["lost", "429", "503"]))
    return seen


def latency(rng):
    return rng.choice([0.013, 0.137, 0.291])


def ending(rng):
    return [*life(rng, most=6), rng.choice(ENDS)], 60, latency(rng)


def hanging(rng):
    if rng.random() < 0.4:
        return [*life(rng, most=4), rng.choice(REFUSED)], 60, latency(rng)
    return life(rng, most=4), rng.randrange(2, 30), latency(rng)


def played(wait):
    """What comes of a job for which one waits like that."""

    def play(answers, patience, seconds):
        job = Job(answers, seconds)
        try:
            end = wait(job, patience)
        except Endless:
            end = "never"
        return {"asked": job.asked, "pauses": job.pauses[:TOLD], "end": end}

    return play


def waiter(first=0.1, factor=2, most=2.0, ends=ENDS, passes=PASS, over="before", timeout="TimeoutError"):
    """A way to wait: `ends` are statuses, `passes` what is asked again, `over` how it is known that the time is."""

    def wait(job, patience):
        seconds, waited, end = first, 0.0, job.now + patience
        while True:
            said = job.ask()
            if said in ends:
                return said
            if said in (*PASS, *REFUSED) and said not in passes:
                return "TransportError" if said == "lost" else "HTTPStatusError"
            times = {"before": job.now + seconds > end, "pauses": waited + seconds > patience}
            if times.get(over):
                return timeout
            if seconds:
                job.pause(seconds)
            waited += seconds
            if over == "after" and job.now > end:
                return timeout
            seconds = min(factor * seconds, most)

    return played(wait)


answer = waiter()
hurried = waiter(first=0.0)
even = waiter(factor=1)
unbounded = waiter(most=1e9)
any_change = waiter(ends=(*ENDS, "RUNNING"))
only_done = waiter(ends=("DONE",))
not_404 = waiter(passes=("lost", "429", "503"))
no_faults = waiter(passes=("404",))
all_statuses = waiter(passes=PASS + REFUSED)
endless = waiter(over="never")
pauses_counted = waiter(over="pauses")
late = waiter(over="after")
silent = waiter(timeout=None)


def sleeps(answers, patience, seconds):
    """As the notebook's sleep does, when it comes to one."""
    right = answer(answers, patience, seconds)
    if right["pauses"]:
        raise RuntimeError
    return right

"""How long the student's tasks wait under strict priority, and the ways to get it wrong. The draw is the notebook's."""

from random import Random

from labkit.policies import PriorityClass, make_policy
from labkit.simulate.dispatch import simulate_dispatch


def drawn(student):
    """The tasks of this student: when each comes, in seconds, and its rank."""
    draw = Random(student)
    rush = draw.randrange(30, 61)
    high = [draw.uniform(0, rush) for _ in range(round(1.1 * rush))]
    high += [draw.uniform(rush, 3 * rush) for _ in range(round(0.6 * rush))]
    low = [draw.uniform(0, 3 * rush) for _ in range(round(0.5 * rush))]
    return sorted([(round(at, 3), 0) for at in high] + [(round(at, 3), 1) for at in low])


def records(tasks, policy="strict", **options):
    """What is done of them by one worker, who needs a second for each."""
    at, rank = zip(*tasks, strict=True)
    return simulate_dispatch(
        make_policy(policy, **options),
        [PriorityClass(name="high"), PriorityClass(name="low")],
        rank=rank,
        scheduled_at=at,
        service=[1.0] * len(tasks),
        servers=1,
        capacity=1,
    )


def told(records, until="started_at", middle="mean"):
    waits = records[until] - records["scheduled_at"]
    high, low = (waits[records["priority"] == rank] for rank in (0, 1))
    return {"high": float(high.agg(middle)), "low": float(low.agg(middle)), "longest": float(low.max())}


def measure(rng, student):
    return told(records(drawn(student)))


def in_system(rng, student):
    return told(records(drawn(student)), until="finished_at")


def first_come(rng, student):
    return told(records(drawn(student), "aging", rate=1e6))


def swapped(rng, student):
    done = records(drawn(student))
    return told(done.assign(priority=1 - done["priority"]))


def low_preferred(rng, student):
    done = records([(at, 1 - rank) for at, rank in drawn(student)])
    return told(done.assign(priority=1 - done["priority"]))


def milliseconds(rng, student):
    return {name: 1000 * seconds for name, seconds in measure(rng, student).items()}


def median(rng, student):
    return told(records(drawn(student)), middle="median")


def together(rng, student):
    done = records(drawn(student))
    mean = float((done["started_at"] - done["scheduled_at"]).mean())
    return {**told(done), "high": mean, "low": mean}

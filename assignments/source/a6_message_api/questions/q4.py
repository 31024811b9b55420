"""What the deaths of pollers cost a student's messages, and the ways to miscount. The draw is the notebook's."""

from random import Random


def drawn(student):
    """The lease and the work, in seconds, and what the pollers of each message do."""
    draw = Random(student)
    lease, work = draw.randrange(20, 61), draw.randrange(3, 12)
    deaths = draw.choices([0, 1, 2, 3], [60, 25, 10, 5], k=draw.randrange(80, 121))
    pollers = [[*draw.choices(["before", "after"], k=number), "lives"] for number in deaths]
    pollers += [["after", "after", "lives"], ["after", "before", "lives"], ["before", "after", "before", "lives"]]
    draw.shuffle(pollers)
    return lease, work, pollers


def measure(rng, student):
    lease, work, pollers = drawn(student)
    return {
        "lost": sum(first == "before" for first, *_ in pollers),
        "again": sum(one.count("after") for one in pollers),
        "longest": max(len(one) - 1 for one in pollers) * lease + work,
    }


def first_dies(rng, student):
    return {**measure(rng, student), "lost": sum(first != "lives" for first, *_ in drawn(student)[2])}


def later_pollers(rng, student):
    return {**measure(rng, student), "lost": sum(one.count("before") for one in drawn(student)[2])}


def all_deaths(rng, student):
    return {**measure(rng, student), "again": sum(len(one) - 1 for one in drawn(student)[2])}


def messages_counted(rng, student):
    return {**measure(rng, student), "again": sum("after" in one for one in drawn(student)[2])}


def all_effects(rng, student):
    right = measure(rng, student)
    return {**right, "again": right["again"] + len(drawn(student)[2])}


def swapped(rng, student):
    right = measure(rng, student)
    return {**right, "lost": right["again"], "again": right["lost"]}


def work_and_lease(rng, student):
    lease, work, pollers = drawn(student)
    return {**measure(rng, student), "longest": max(len(one) - 1 for one in pollers) * (lease + work) + work}


def work_only(rng, student):
    _, work, pollers = drawn(student)
    return {**measure(rng, student), "longest": max(map(len, pollers)) * work}


def one_lease(rng, student):
    lease, work, _ = drawn(student)
    return {**measure(rng, student), "longest": lease + work}


def leases_only(rng, student):
    right = measure(rng, student)
    return {**right, "longest": right["longest"] - drawn(student)[1]}

"""Keys whose order is lost: the model, what is drawn, and the ways to get it wrong."""

from itertools import pairwise


def log(rng):
    """Records sent while a topic grew twice; some keys come back to where they were, and some have one record only."""
    keys = [f"order-{number}" for number in rng.sample(range(100), 10)]
    first = {key: rng.randrange(2) for key in keys}
    grown = {key: rng.choice([first[key], 2]) for key in keys}
    again = {key: rng.choice([first[key], grown[key], 3]) for key in keys}
    records = []
    for homes in (first, grown, again):
        for key in rng.sample(keys, 6):
            records += [[key, homes[key]]] * rng.randrange(1, 3)
    return [records]


def homes_of(records):
    """The partitions of each key in the order of its records."""
    homes = {}
    for key, partition in records:
        homes.setdefault(key, []).append(partition)
    return homes


def answer(records):
    return sorted(key for key, homes in homes_of(records).items() if len(set(homes)) > 1)


def unsorted(records):
    return [key for key, homes in homes_of(records).items() if len(set(homes)) > 1]


def several_records(records):
    return sorted(key for key, homes in homes_of(records).items() if len(homes) > 1)


def stayed(records):
    return sorted(key for key, homes in homes_of(records).items() if len(set(homes)) == 1)


def first_and_last(records):
    return sorted(key for key, homes in homes_of(records).items() if homes[0] != homes[-1])


def each_move(records):
    return sorted(
        key for key, homes in homes_of(records).items() for before, after in pairwise(homes) if before != after
    )


def neighbours(records):
    moved = pairwise(records)
    return sorted({key for (_, before), (key, after) in moved if before != after})

"""Where the student's keys go: the model, and the ways to get it wrong. The draw is that of the notebook."""

from random import Random
from zlib import crc32

from labkit.taskqueue.partitioners import murmur2

SIZES = [(4, 10), (6, 10), (4, 14), (10, 14), (4, 18), (10, 18), (6, 22), (10, 22), (6, 28), (18, 28)]


def drawn(student):
    """The keys of this student, and how many partitions there are before and after the topic grows."""
    draw = Random(student)
    keys = [f"order-{number:04d}" for number in draw.sample(range(10_000), 6)]
    return keys, *draw.choice(SIZES)


def homes_by(place):
    """A measurement in which `place(key, partitions)` says where a key goes."""

    def measure_homes(rng, student):
        keys, before, after = drawn(student)
        return {
            "before": {key: place(key.encode(), before) for key in keys},
            "after": {key: place(key.encode(), after) for key in keys},
        }

    return measure_homes


measure = homes_by(lambda key, partitions: (murmur2(key) & 0x7FFFFFFF) % partitions)
with_sign_bit = homes_by(lambda key, partitions: (murmur2(key) & 0xFFFFFFFF) % partitions)
by_crc32 = homes_by(lambda key, partitions: crc32(key) % partitions)
from_one = homes_by(lambda key, partitions: (murmur2(key) & 0x7FFFFFFF) % partitions + 1)


def in_turn(rng, student):
    keys, before, after = drawn(student)
    return {
        "before": {key: number % before for number, key in enumerate(keys)},
        "after": {key: number % after for number, key in enumerate(keys)},
    }


def swapped(rng, student):
    homes = measure(rng, student)
    return {"before": homes["after"], "after": homes["before"]}


def staying(rng, student):
    homes = measure(rng, student)
    return {"before": homes["before"], "after": homes["before"]}

"""What growing moves: measured with a thousand drawn keys, and the ways to get it wrong."""

from random import Random

from labkit.taskqueue.partitioners import murmur2

#: Of so many keys a student's measurement may be; the noise in it is the tolerance.
KEYS = 1_000
SIZES = [(4, 10), (6, 10), (4, 14), (6, 14), (10, 14), (6, 16), (10, 16)]


def sizes(student):
    """How many partitions there are before and after the topic grows, drawn as in the notebook."""
    draw = Random(student)
    draw.sample(range(10_000), 6)
    return draw.choice(SIZES)


def measure(rng, student):
    before, after = sizes(student)
    hashes = [murmur2(rng.randbytes(8)) & 0x7FFFFFFF for _ in range(KEYS)]
    return sum(hashed % before != hashed % after for hashed in hashes) / KEYS


def staying(rng, student):
    return 1 - measure(rng, student)


def per_cent(rng, student):
    return 100 * measure(rng, student)


def noisy(share, rng):
    """A share as it would be measured with as many keys."""
    return sum(rng.random() < share for _ in range(KEYS)) / KEYS


def new_partitions(rng, student):
    before, after = sizes(student)
    return noisy((after - before) / after, rng)


def ratio(rng, student):
    before, after = sizes(student)
    return noisy(before / after, rng)


def without_common_factor(rng, student):
    _, after = sizes(student)
    return noisy(1 - 1 / after, rng)

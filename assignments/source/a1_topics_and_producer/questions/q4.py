"""What growing moves: measured with drawn hashes of keys, and the ways to get it wrong."""

from random import Random

import numpy as np

#: Of so many keys a student's measurement may be; the noise in it is the tolerance.
KEYS = 20_000
#: Five shares, which lie so far apart that no number is within the tolerance of two; and of none does a known mistake
#: come to the right one.
SIZES = [(4, 10), (6, 10), (4, 14), (10, 14), (4, 18), (10, 18), (6, 22), (10, 22), (6, 28), (18, 28)]


def sizes(student):
    """How many partitions there are before and after the topic grows, drawn as in the notebook."""
    draw = Random(student)
    draw.sample(range(10_000), 6)
    return draw.choice(SIZES)


def drawn_hashes(rng):
    """What murmur2 makes of drawn keys: any number of 32 bits is as likely as any other."""
    return np.frombuffer(rng.randbytes(4 * KEYS), "<u4")


def measure(rng, student):
    before, after = sizes(student)
    hashed = drawn_hashes(rng) & 0x7FFFFFFF
    return float(np.mean(hashed % before != hashed % after))


def staying(rng, student):
    return 1 - measure(rng, student)


def per_cent(rng, student):
    return 100 * measure(rng, student)


def noisy(share, rng):
    """A share as it would be measured with as many keys."""
    return float(np.mean(drawn_hashes(rng) < share * 2**32))


def new_partitions(rng, student):
    before, after = sizes(student)
    return noisy((after - before) / after, rng)


def ratio(rng, student):
    before, after = sizes(student)
    return noisy(before / after, rng)


def without_common_factor(rng, student):
    _, after = sizes(student)
    return noisy(1 - 1 / after, rng)

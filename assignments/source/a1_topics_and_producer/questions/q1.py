"""Where a key goes: the model, what is drawn, and the ways to get it wrong."""

from zlib import crc32

from labkit.taskqueue.partitioners import murmur2

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-äßé漢"


def keyed(rng):
    return "".join(rng.choices(LETTERS, k=rng.randrange(16))), rng.randrange(2, 13)


def unkeyed(rng):
    return None, rng.randrange(2, 13)


def of_key(hashed):
    """A function that goes by this hash of the key's bytes, and leaves records without a key alone."""
    return lambda key, partitions: None if key is None else hashed(key.encode()) % partitions


answer = of_key(lambda key: murmur2(key) & 0x7FFFFFFF)
with_sign_bit = of_key(lambda key: murmur2(key) & 0xFFFFFFFF)
by_crc32 = of_key(crc32)
by_sum = of_key(sum)
by_length = of_key(len)


def from_one(key, partitions):
    return None if key is None else answer(key, partitions) + 1

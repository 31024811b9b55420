"""Partitioners: which partition a task goes to.

A partitioner is a function `(key, partitions) -> partition`, with 0 <= partition < partitions and `key` None
for a task without one. It knows nothing of Kafka, so the same one serves the producer, a notebook and a
simulation. Those with a memory (round robin, sticky) are made by a function; make one for each producer.
One of somebody else's is made by a function, too, which stands at `module:name` or has an entry point (`GROUP`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from operator import index
from random import Random
from struct import unpack_from

from labkit.errors import LabkitError, SettingsError
from labkit.parameters import checked
from labkit.plugin import plugin_object, plugin_place, plugins
from labkit.taskqueue.engine.failure import describe_with_place, foreign_function

Partitioner = Callable[[bytes | None, int], int]

#: How many tasks `sticky` puts on a partition before it moves on. Kafka moves on after 16 KiB (KIP-794),
#: which is about a hundred stock tasks.
STICKY_BATCH = 100

#: How many keys `key_hash` remembers with their hashes. A hash takes a few microseconds, a look-up a tenth of one.
REMEMBERED_KEYS = 65_536

#: The group of entry points of functions that make a partitioner, as those in `PARTITIONERS` do.
GROUP = "labkit.partitioners"

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash that Kafka's clients put keys through, signed as in Java.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`, which is Austin Appleby's MurmurHash2 with the
    seed 0x9747b28c. kafka-python has it too, slower and only with all of the library imported.
    """
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for word in unpack_from(f"<{whole >> 2}I", data):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    if whole != length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - 0x1_0000_0000 if h & 0x8000_0000 else h


@lru_cache(maxsize=REMEMBERED_KEYS)
def _positive_hash(key: bytes) -> int:
    # Kafka's `toPositive` drops the sign bit; it does not take the absolute value
    return murmur2(key) & 0x7FFFFFFF


@checked
def key_hash(*, unkeyed: Partitioner | None = None) -> Partitioner:
    """By the key's hash, as Kafka's Java client does: tasks with equal keys meet on one partition, in order.

    A task without a key goes where `unkeyed` says; by default it sticks, as in the Java client.
    """
    without_key = unkeyed or sticky(Random())

    def partition_of(key: bytes | None, partitions: int) -> int:
        return without_key(key, partitions) if key is None else _positive_hash(key) % partitions

    return partition_of


def round_robin() -> Partitioner:
    """One partition after the other, from partition 0 on, whatever the key."""
    number = count()

    def partition_of(key: bytes | None, partitions: int) -> int:
        return next(number) % partitions

    return partition_of


@checked
def sticky(rng: Random, *, batch: int = STICKY_BATCH) -> Partitioner:
    """A batch of `batch` tasks on one partition, then the next on another drawn from `rng`, whatever the key.

    Full batches cost the broker less than scattered tasks. After KIP-480; Kafka measures a batch in bytes.
    """
    current, left = -1, 0

    def partition_of(key: bytes | None, partitions: int) -> int:
        nonlocal current, left
        if left == 0 or current >= partitions:
            current, left = _another(rng, current, partitions), batch
        left -= 1
        return current

    return partition_of


def _another(rng: Random, current: int, partitions: int) -> int:
    if not 0 <= current < partitions or partitions == 1:
        return int(rng.random() * partitions)
    drawn = int(rng.random() * (partitions - 1))
    return drawn + 1 if drawn >= current else drawn


@checked
def random(rng: Random) -> Partitioner:
    """A partition drawn evenly from `rng` for every task, whatever the key."""
    draw = rng.random

    def partition_of(key: bytes | None, partitions: int) -> int:
        return int(draw() * partitions)

    return partition_of


def naive() -> Partitioner:
    """`hash(key) % partitions`: what comes to mind first, and goes wrong.

    Python salts the hash of bytes and text in every process (`PYTHONHASHSEED`), so two producers, or one
    after a restart, put the same key on different partitions. `naive_in_new_process` shows it.
    """

    def partition_of(key: bytes | None, partitions: int) -> int:
        return hash(key) % partitions

    return partition_of


@checked
def naive_in_new_process(keys: Sequence[bytes], partitions: int, *, hash_seed: int | None = None) -> list[int]:
    """Where `naive` puts these keys in a Python process of its own: another producer, or this one restarted.

    `hash_seed` is that process's `PYTHONHASHSEED` (0 switches the salt off); None lets Python draw one.
    """
    code = (
        "import json, sys\n"
        "keys, partitions = json.load(sys.stdin)\n"
        "json.dump([hash(bytes.fromhex(key)) % partitions for key in keys], sys.stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        input=json.dumps([[key.hex() for key in keys], partitions]),
        env={"PYTHONHASHSEED": "random" if hash_seed is None else str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    chosen: list[int] = json.loads(done.stdout)
    return chosen


#: Every partitioner by its name; each entry makes one, with the source of chance that it may need.
PARTITIONERS: dict[str, Callable[[Random], Partitioner]] = {
    "key_hash": lambda rng: key_hash(unkeyed=sticky(rng)),
    "round_robin": lambda rng: round_robin(),
    "sticky": sticky,
    "random": random,
    "naive": lambda rng: naive(),
}


def chosen_partition(partitioner: Partitioner, key: bytes | None, partitions: int) -> int:
    """Where that partitioner puts the key. Raises `LabkitError` for what is no partition."""
    chosen = partitioner(key, partitions)
    try:
        partition = index(chosen)  # also of one of NumPy's
    except TypeError:
        partition = -1
    if 0 <= partition < partitions:
        return partition
    raise LabkitError(
        f"The partitioner chose {chosen!r:.80} where there are {partitions} partitions; give a whole number from 0 to "
        f"{partitions - 1}."
    )


def partitioner_names() -> list[str]:
    """The names of all there are; nothing is imported for it."""
    return sorted({*PARTITIONERS, *plugins(GROUP)})


@checked
def make_partitioner(name: str, rng: Random) -> Partitioner:
    """The one of this name: in `PARTITIONERS`, of an entry point, or at `module:name`.

    What somebody else's raises while it chooses becomes a `LabkitError`. Raises `SettingsError` if there is none of
    that name, or it cannot be made.
    """
    if name in PARTITIONERS:
        return PARTITIONERS[name](rng)
    place = plugin_place("partitioner", name, GROUP, PARTITIONERS)
    maker = plugin_object("partitioner", name, place)
    try:
        partition_of = maker(rng)
    except Exception as error:
        raise SettingsError(f"The partitioner {name!r} raised {describe_with_place(error)}. {_MADE_BY}") from error
    if not callable(partition_of):
        raise SettingsError(f"The partitioner {name!r} is made as {partition_of!r:.80}. {_MADE_BY}")
    return foreign_function(f"The partitioner {name!r}", partition_of)


_MADE_BY = (
    "It is made by a function that is called with a random.Random and returns the function (key, partitions) -> "
    "partition."
)

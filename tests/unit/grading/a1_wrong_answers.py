"""The classic wrong answers to `a1_topics_and_producer`, by the mistake's name, with the most points they bring."""

from __future__ import annotations

#: q1, with the sign bit and so on; `None` is left alone unless the mistake is about it.
KEYED = """
def partition_of(key, partitions):
    if key is None:
        return None
    return {}
"""
#: q3, where `place(key, partitions)` says where a key goes.
HOMES = """
def place(key, partitions):
    return {}
homes = {{
    "before": {{key: place(key, BEFORE) for key in my_keys}},
    "after": {{key: place(key, AFTER) for key in my_keys}},
}}
"""
RIGHT = "(murmur2(key.encode()) & 0x7FFFFFFF) % partitions"
SPLIT = """
def split_keys(log):
    homes = {{}}
    for key, partition in log:
        homes.setdefault(key, []).append(partition)
    return {}
"""
#: As somebody would count it who has no formula.
COUNTED = """
keys = [f"any-{{number}}".encode() for number in range(20_000)]
homes = [(murmur2(key) & 0x7FFFFFFF) for key in keys]
share_moved = {}
"""

#: question, mistake, points, answer
WRONG_ANSWERS: list[tuple[str, str, float, str]] = [
    ("q1", "sign bit kept", 1, KEYED.format("murmur2(key.encode()) % partitions")),
    ("q1", "sign bit kept", 0, "def partition_of(key, partitions): return murmur2(key.encode()) % partitions"),
    ("q1", "counted from one", 1, KEYED.format(f"{RIGHT} + 1")),
    ("q1", "another hash", 1, "import zlib\n" + KEYED.format("zlib.crc32(key.encode()) % partitions")),
    ("q1", "sum of bytes", 1, KEYED.format("sum(key.encode()) % partitions")),
    ("q1", "length of the key", 1, KEYED.format("len(key.encode()) % partitions")),
    ("q1", "changes from process to process", 1, KEYED.format("hash(key) % partitions")),
    ("q1", "changes from process to process", 0, "def partition_of(key, partitions): return hash(key) % partitions"),
    (
        "q1",
        "changes from call to call",
        0,
        "from itertools import count\nturn = count()\ndef partition_of(key, n): return next(turn) % n",
    ),
    (
        "q1",
        "changes from call to call",
        0,
        "import random\ndef partition_of(key, partitions): return random.randrange(partitions)",
    ),
    ("q1", "any key", 2, KEYED.format("(murmur2(key.encode('latin-1', 'ignore')) & 0x7FFFFFFF) % partitions")),
    ("q1", "no key", 3, KEYED.replace("return None", "return 0").format(RIGHT)),
    ("q1", "any key", 2, KEYED.format(RIGHT.replace("% partitions", "% (3 if partitions == 3 else 6)"))),
    ("q2", "several records", 0, SPLIT.format("sorted(key for key in homes if len(homes[key]) > 1)")),
    ("q2", "keys that stayed", 0, SPLIT.format("sorted(key for key in homes if len(set(homes[key])) == 1)")),
    ("q2", "first and last only", 1, SPLIT.format("sorted(key for key in homes if homes[key][0] != homes[key][-1])")),
    (
        "q2",
        "once for each move",
        1,
        SPLIT.format("sorted(k for k, h in homes.items() for one, two in zip(h, h[1:]) if one != two)"),
    ),
    ("q2", "not sorted", 1, SPLIT.format("[key for key in homes if len(set(homes[key])) > 1]")),
    (
        "q2",
        "neighbours compared",
        0,
        SPLIT.format("sorted({log[i][0] for i in range(1, len(log)) if log[i][1] != log[i - 1][1]})"),
    ),
    ("q3", "sign bit kept", 2, HOMES.format("murmur2(key.encode()) % partitions")),
    ("q3", "another hash", 0, "import zlib" + HOMES.format("zlib.crc32(key.encode()) % partitions")),
    ("q3", "counted from one", 0, HOMES.format(f"{RIGHT} + 1")),
    ("q3", "dealt out in turn", 0, HOMES.format("my_keys.index(key) % partitions")),
    (
        "q3",
        "before and after swapped",
        0,
        HOMES.format(RIGHT) + 'homes = {"before": homes["after"], "after": homes["before"]}',
    ),
    ("q3", "keys stay", 2, HOMES.format(RIGHT) + 'homes["after"] = homes["before"]'),
    ("q3", "before", 0, HOMES.format("hash(key) % partitions")),
    ("q3", "before", 0, HOMES.format(RIGHT) + "homes = list(homes.values())"),
    ("q4", "keys that stay", 0, "from math import gcd\nshare_moved = gcd(BEFORE, AFTER) / AFTER"),
    ("q4", "share of the new partitions", 0, "share_moved = (AFTER - BEFORE) / AFTER"),
    ("q4", "common factor forgotten", 0, "share_moved = 1 - BEFORE / (BEFORE * AFTER)"),
    ("q4", "per cent", 0, "from math import gcd\nshare_moved = 100 - 100 * gcd(BEFORE, AFTER) / AFTER"),
    ("q4", "ratio of the sizes", 0, "share_moved = BEFORE / AFTER"),
    ("q4", "share", 0, "share_moved = 0.02"),
]

BY_REMAINDER = """
def partition_of(key, partitions):
    if key is not None:
        return murmur2(bytes(key, "utf-8")) % 2**31 % partitions
"""
SPLIT_BY_PAIRS = """
def split_keys(log):
    names = [key for key, _ in {(key, home) for key, home in log}]
    return sorted({key for key in names if names.count(key) > 1})
"""
#: Other ways to be right.
RIGHT_ANSWERS: list[tuple[str, str]] = [
    ("q1", BY_REMAINDER),
    ("q2", SPLIT_BY_PAIRS),
    ("q3", HOMES.format(RIGHT)),
    ("q4", COUNTED.format("sum(h % BEFORE != h % AFTER for h in homes) / len(homes)")),
    ("q4", "from math import gcd\nshare_moved = 1 - gcd(BEFORE, AFTER) / AFTER"),
]

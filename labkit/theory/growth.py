"""What growing a topic does to keys that are placed by hash modulo the number of partitions."""

from __future__ import annotations

import math


def share_of_keys_moved(before: int, after: int) -> float:
    """The share of keys whose partition changes when a topic grows from `before` to `after` partitions.

    A key with hash h stays if h mod n = h mod m. Over one period of lcm(n, m) hashes, which are equally
    likely, these are h = 0 … n - 1 alone (n < m, Chinese remainder theorem), so 1 - n / lcm(n, m) move.
    """
    return 1 - min(before, after) / math.lcm(before, after)

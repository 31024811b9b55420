"""What order costs: how soon tasks can be done side by side when those of one lane go one after the other.

A lane is what has an order: a partition, a key, or a single task. Tasks of a lane form a chain; `servers` chains can
be worked on at once. The bounds are those of R. L. Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM Journal
on Applied Mathematics 17 (1969), for any schedule that never leaves a server idle while a task may begin.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from labkit.parameter_checks import Count
from labkit.parameters import checked


@checked
def makespan_at_least(work: Mapping[Hashable, float], servers: Count) -> float:
    """Seconds that nobody can beat: max(all work / servers, the longest lane).

    `work`: lane -> the sum of its service times in seconds.
    """
    return max(sum(work.values()) / servers, max(work.values(), default=0.0))


@checked
def makespan_at_most(work: Mapping[Hashable, float], servers: Count) -> float:
    """Seconds that it takes at worst: all work / servers + (1 - 1 / servers) x the longest lane."""
    longest = max(work.values(), default=0.0)
    return sum(work.values()) / servers + (1 - 1 / servers) * longest


@checked
def speed_up_limit(work: Mapping[Hashable, float], servers: Count) -> float:
    """How many times faster than one at a time it can be: min(servers, all work / the longest lane)."""
    return sum(work.values()) / makespan_at_least(work, servers) if work else 1.0

"""Partitions and workers: who gets what, who idles, and how fast a group can be at best.

A partition belongs to one worker at a time, so it is the unit of parallel work: more workers than partitions
do not help. Round robin is Kafka's `RoundRobinAssignor` (documentation of `partition.assignment.strategy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from labkit.parameter_checks import Count
from labkit.parameters import checked

#: Anything that can be sorted: a partition's number, or a topic with it.
P = TypeVar("P", int, tuple[str, int])


@checked
def round_robin(partitions: Iterable[P], members: Iterable[str]) -> dict[str, tuple[P, ...]]:
    """Deal the partitions out like cards: sorted partitions to the members sorted by id, one after the other.

    Every member is in the answer, also one without a partition. No members: {}.
    """
    order = sorted(members)
    cards = sorted(partitions)
    return {member: tuple(cards[seat :: len(order)]) for seat, member in enumerate(order)}


@checked
def idle_workers(partitions: int, workers: int) -> int:
    """Workers that get no partition: max(0, W - P)."""
    return max(0, workers - partitions)


@checked
def speed_up(partitions: int, workers: Count) -> float:
    """How many times faster W workers are than one, if all partitions hold the same work: P / ceil(P / W).

    The worker with the most partitions, ceil(P / W) of them, ends last. Never above `speed_up_limit`.
    """
    return partitions / -(-partitions // workers)


@checked
def speed_up_limit(partitions: int, workers: Count) -> int:
    """What no way of sharing out whole partitions can beat: min(W, P)."""
    return min(workers, partitions)


@checked
def makespan(work: Mapping[int, float], workers: Count) -> float:
    """Seconds until a round-robin group is done, if all tasks wait at the start and nothing else takes time.

    `work`: partition -> sum of its service times in seconds. The most loaded worker ends last.
    """
    shares = round_robin(work, [f"{number:09d}" for number in range(workers)])
    return max((sum(work[partition] for partition in own) for own in shares.values()), default=0.0)


@checked
def makespan_bound(work: Mapping[int, float], workers: Count) -> float:
    """Seconds that no way of sharing out whole partitions can beat: max(total / W, the largest partition).

    Graham 1969, "Bounds on Multiprocessing Timing Anomalies", with a partition as the indivisible job.
    """
    return max(sum(work.values()) / workers, max(work.values(), default=0.0))

"""The memory of one idle lab."""

from __future__ import annotations

import time

import psutil

from benchmarks.figure import Figure, measured
from labkit.lab import Lab

REPEATS = 3
#: How long the lab is left alone before it is measured, in seconds.
IDLE = 10.0


def measure() -> list[Figure]:
    """The figure."""
    runs = [_idle_lab() for _ in range(REPEATS)]
    return [
        measured(
            "lab_memory",
            "memory of one idle lab (Kafka and Redis)",
            [resident for resident, _ in runs],
            unit="MB",
            better="lower",
            at_least=700,
            aim=400,
            how=f"Resident memory of both servers and their supervisor, {IDLE:g} s after a private lab was ready.",
            beside={"proportional share (PSS) of the last run in MB": runs[-1][1]} if runs[-1][1] else {},
        )
    ]


def _idle_lab() -> tuple[float, float]:
    with Lab() as lab:
        time.sleep(IDLE)
        kafka = psutil.Process(lab.kafka_pid)
        supervisor = kafka.parents()[0]
        servers = [kafka, psutil.Process(lab.redis_pid), supervisor]
        infos = [server.memory_full_info() for server in servers]
    resident = sum(info.rss for info in infos) / 1e6
    return resident, sum(getattr(info, "pss", 0) for info in infos) / 1e6

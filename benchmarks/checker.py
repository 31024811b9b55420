"""The checker on a million events: the time and the memory that it takes, where all is well and where much is wrong."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, measured
from labkit.faults import Event, check, read_history, write_history

EVENTS = 1_000_000
PARTITIONS, KEYS = 4, 1000
REPEATS = 3

HOW = (
    f"A history of {EVENTS:,} events, read from its file and judged by a process of its own, the imports included: as "
    "JSON lines and as Parquet where all is well, and as Parquet where half of the tasks are lost and the others done "
    "twice."
)


def measure() -> list[Figure]:
    """Both figures."""
    with tempfile.TemporaryDirectory(prefix="labkit-checker-") as folder:
        files = [
            write_history(events(EVENTS, wrong=False), Path(folder) / "good.jsonl"),
            write_history(events(EVENTS, wrong=False), Path(folder) / "good.parquet"),
            write_history(events(EVENTS, wrong=True), Path(folder) / "wrong.parquet"),
        ]
        runs = [_run(file) for _ in range(REPEATS) for file in files]
    return [
        measured(
            "checker_seconds",
            "a million events read and judged by the checker",
            [run["seconds"] for run in runs],
            unit="s",
            better="lower",
            at_least=10,
            aim=5,
            how=f"{HOW} The time of the processor.",
            judged="worst",
        ),
        measured(
            "checker_memory",
            "a million events read and judged by the checker: peak memory",
            [run["megabytes"] for run in runs],
            unit="MB",
            better="lower",
            at_least=400,
            aim=300,
            how=HOW,
            judged="worst",
        ),
    ]


def events(count: int, *, wrong: bool) -> Iterator[Event]:
    """So many events of a run; where it went wrong, every second task is lost, and the others are done twice."""
    for number, event in enumerate(_events(random.Random(1), wrong=wrong)):
        if number == count:
            return
        yield event


def _events(rng: random.Random, *, wrong: bool) -> Iterator[Event]:
    numbers: Counter[str] = Counter()

    def event(what: Any, by: str, **fields: Any) -> Event:
        numbers[by] += 1
        return Event(what=what, by=by, seq=numbers[by], at=numbers[by] / 1000, **fields)

    task = 0
    while True:
        partition, offset = task % PARTITIONS, task // PARTITIONS
        name, worker = f"{rng.getrandbits(128):032x}", f"worker-{partition}"
        record = {"task": name, "key": f"key-{rng.randrange(KEYS)}", "partition": partition, "offset": offset}
        yield event("sent", "producer", task=name)
        yield event("acknowledged", "producer", task=name, partition=partition, offset=offset)
        yield event("written", "log", **record)
        yield event("received", worker, **record)
        if not wrong or offset % 2:
            yield event("started", worker, **record)
            for _ in range(1 + wrong):
                yield event("finished", worker, **record)
        if offset % 3 == 2:
            beyond = tuple(range(offset + 2, offset + 10))
            yield event("committed", worker, partition=partition, offset=offset + 1, beyond=beyond)
        task += 1


def _run(file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.checker", str(file)]
    answer: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


def main(file: Path) -> None:
    """Read a history, judge it, and say in JSON what that took."""
    verdict = check(read_history(file))
    print(json.dumps({"seconds": time.process_time(), "megabytes": _peak() / 1000, "tasks": verdict.tasks}))


def _peak() -> float:
    """The most memory that this program has held so far, in kilobytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` tells there includes the process that it was forked from
        return float(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1000 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

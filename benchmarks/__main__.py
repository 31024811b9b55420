"""`python -m benchmarks [NAME …]`: measure, keep, and draw the page anew."""

from __future__ import annotations

import sys
import time

from benchmarks import first_lab, lab_start, memory, notebooks, producing, report, working
from benchmarks.figure import save

BENCHMARKS = {
    "lab_start": lab_start.measure,
    "memory": memory.measure,
    "producing": producing.measure,
    "working": working.measure,
    "notebooks": notebooks.measure,
    "first_lab": first_lab.measure,
}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}.")
    for name in names or BENCHMARKS:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        for figure in BENCHMARKS[name]():
            save(figure)
            print(f"  {figure.what}: {report.number(figure.value, figure.unit)}, reached: {figure.reached or '-'}")
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
        report.write()


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m benchmarks [NAME …]`: measure, keep, and draw the page anew.

Without a name, all but the soak, the hour and the grading, which take long.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import (
    api_create,
    api_faults,
    checker,
    concurrency,
    cpu_bound,
    crashes,
    dispatch_faults,
    dispatching,
    endurance,
    first_lab,
    frameworks_beside,
    grading,
    hour,
    lab_start,
    leases,
    memory,
    message_faults,
    notebooks,
    producing,
    queues,
    report,
    schemathesis_run,
    slow_task,
    view_rebuild,
    working,
)
from benchmarks.figure import save

BENCHMARKS = {
    "lab_start": lab_start.measure,
    "memory": memory.measure,
    "producing": producing.measure,
    "working": working.measure,
    "slow_task": slow_task.measure,
    "concurrency": concurrency.measure,
    "cpu_bound": cpu_bound.measure,
    "queues": queues.measure,
    "frameworks": frameworks_beside.measure,
    "endurance": endurance.measure,
    "dispatching": dispatching.measure,
    "dispatch_faults": dispatch_faults.measure,
    "checker": checker.measure,
    "view_rebuild": view_rebuild.measure,
    "api_create": api_create.measure,
    "api_faults": api_faults.measure,
    "leases": leases.measure,
    "message_faults": message_faults.measure,
    "api_schemathesis": schemathesis_run.measure,
    "notebooks": notebooks.measure,
    "first_lab": first_lab.measure,
}
#: Those that are only run when they are named.
ON_REQUEST = {"soak": crashes.measure, "hour": hour.measure, "grading": grading.measure}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all that need no name."""
    known = BENCHMARKS | ON_REQUEST
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, keep, and draw the page anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all but {' and '.join(ON_REQUEST)} without one")
    parser.epilog = f"There are {', '.join(known)}."
    names = parser.parse_args(names).names
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    for name in names or BENCHMARKS:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        for figure in known[name]():
            save(figure)
            print(f"  {figure.what}: {report.number(figure.value, figure.unit)}, reached: {figure.reached or '-'}")
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
        report.write()


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the processes of the tests in this folder run: modules that a `ChildProcess` names."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from labkit.errors import LabkitError
from labkit.process.parent_channel import ParentChannel


def main(parent: ParentChannel) -> None:
    """Say who it is, then run each order, which is Python, and report what it leaves in `said`."""
    job = parent.job()
    parent.report({"job": job, "mark": os.environ.get("CHILD_MARK"), "parent": os.getppid()})
    for order in parent.orders():
        names: dict[str, Any] = {"parent": parent, "said": None}
        exec(json.loads(order), names)
        parent.report({"said": names["said"]})
    if job.get("fails"):
        print("on the way", file=sys.stderr)
        raise LabkitError(job["fails"])
    parent.report({"ended": True})

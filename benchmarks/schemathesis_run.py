"""Requests of every kind against the HTTP API, drawn from its own description: `schemathesis run` with all checks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure, never
from labkit.api.api_process import ApiProcess
from labkit.lab import Lab

#: The figure asks for so many cases; this many are drawn per operation and phase to get them.
CASES, EXAMPLES = 2_000, 80
SEED = 6
TOKEN = "schemathesis"
#: How long a whole run may take, in seconds.
TIMEOUT = 500

#: Besides the usual ones, 413 is a way to refuse what is too much; it is documented for every operation.
CONFIG = """
hooks = "benchmarks.schemathesis_hooks"

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases were sent, how many failed a check or could not be sent, and what was said of them."""

    cases: int
    failed: int
    said: str


def fuzz(url: str, *, examples: int, seed: int = SEED) -> Outcome:
    """Send requests of all kinds, by the phases examples, coverage, fuzzing and stateful."""
    with tempfile.TemporaryDirectory() as folder:
        config, report = Path(folder, "schemathesis.toml"), Path(folder, "report.json")
        config.write_text(CONFIG)
        words = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)),
            *("run", f"{url}/openapi.json", "--checks", "all", "--continue-on-failure", "--warnings", "off"),
            *("--max-examples", str(examples), "--seed", str(seed), "--request-timeout", "20"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--report", "json", "--report-json-path", str(report)),
        ]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        if not report.exists():
            raise RuntimeError(f"schemathesis wrote no report: {ended.stdout}{ended.stderr}")
        found = json.loads(report.read_text())
    counts = found["test_cases"]
    failed = counts["with_failures"] + counts["errored"]
    if not found["complete"] or (ended.returncode != 0) != (failed > 0):
        raise RuntimeError(f"schemathesis did not come to its end: {ended.stdout}{ended.stderr}")
    return Outcome(counts["generated"], failed, ended.stdout)


def measure() -> Iterator[Figure]:
    """One whole run on a lab of its own: about a minute."""
    with Lab() as lab, ApiProcess(lab, token=TOKEN) as api:
        outcome = fuzz(api.url, examples=EXAMPLES)
    if outcome.cases < CASES:
        raise RuntimeError(f"{outcome.cases} cases are fewer than {CASES}")
    if outcome.failed:
        print(outcome.said)
    yield never(
        "api_schemathesis",
        "schemathesis over the OpenAPI of the HTTP API, all checks: cases that failed",
        [outcome.failed],
        unit="cases",
        how=f"`schemathesis run --checks all --max-examples {EXAMPLES} --seed {SEED}`, all phases, against a server in "
        "a process of its own with Kafka and Redis behind it. Hooks shorten waits and streams and renew the "
        "Idempotency-Key; 413 counts as a refusal too.",
        beside={"cases sent": outcome.cases},
    )


if __name__ == "__main__":
    for figure in measure():
        print(figure.what, figure.value, figure.beside)

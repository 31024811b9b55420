"""A process that is forked while another thread holds a lock, as those of Celery's pool may be."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The thread is at it for longer than one may go on before another has its turn, so the fork comes meanwhile.
PROGRAM = """
import logging, os, threading
{make}

inside = threading.Event()

def hold():
    with {lock}:
        inside.set()
        for _ in range(1_000_000):
            pass

thread = threading.Thread(target=hold)
thread.start()
inside.wait()
child = os.fork()
{use}
if child == 0:
    os._exit(0)
thread.join()
assert os.waitpid(child, 0)[1] == 0
{use}
"""

CASES = {
    "a type": ("from labkit import typed_values", "typed_values._LOCK", "assert typed_values.typed(1, int) == 1"),
    "an outage": (
        "from labkit import outage\none = outage.Outage(logging.getLogger('w'), 'w', 'Redis')",
        "outage._LOCK",
        "one.begins('away'); one.ends()",
    ),
    "what is refused": (
        "from labkit import errors, redis_state\none = redis_state.Refusals(logging.getLogger('w'))",
        "redis_state._LOCK",
        "one.say(errors.RedisRefused('no'), 'it is missing')",
    ),
    "what is counted": (
        "from labkit.celery_app import celery_status\none = celery_status.OutcomeCounter()",
        "celery_status._AMONG_THREADS",
        "one.add('done'); assert one.total('done') > 0",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fork_waits_for_a_lock_and_both_go_on(case: str) -> None:
    make, lock, use = CASES[case]
    program = PROGRAM.format(make=make, lock=lock, use=use)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)

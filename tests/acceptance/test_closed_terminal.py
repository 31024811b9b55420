"""A terminal that is closed under a command."""

from __future__ import annotations

import os
import subprocess
import sys

from labkit.measure.records import read_records
from tests.acceptance.commands import TIMEOUT, said

#: Makes standard input the terminal of this process and what it becomes. The tests themselves may run under nohup.
IN_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "labkit", *sys.argv[1:]])
"""


def test_work_ends_in_order(type_in, environment, unique_name, tmp_path):
    said(type_in("produce", "--topic", unique_name, "--rate", "1000", "--count", "60"))
    words = ["work", "--topic", unique_name, "--group", unique_name]
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *words, "--service", "constant:0.1", "--records", "first.parquet"],
        cwd=tmp_path,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            while not (tmp_path / "first.parts").exists():  # a first task is done
                os.read(ours, 65536)
        finally:
            os.close(ours)
        assert process.wait(TIMEOUT) == 0
    first = read_records(tmp_path / "first.parquet")
    assert 0 < len(first) < 60
    said(type_in(*words, "--service", "constant:0", "--until-empty", "--records", "second.parquet"))
    second = read_records(tmp_path / "second.parquet")
    assert sorted([*first["task_id"], *second["task_id"]]) == sorted({*first["task_id"], *second["task_id"]})
    assert len(first) + len(second) == 60

"""The limits that the launcher sets before it becomes the command, in its own words."""

from __future__ import annotations

from labkit.grading.sandbox.contract import Limits


def limits_of_a_process(limits: Limits, *, counted: bool) -> list[str]:
    """Of each process; `counted` says that control groups count the memory and the processes of all together."""
    words = [
        "limit=CORE:0:0",
        f"limit=NOFILE:{limits.open_files}:{limits.open_files}",
        f"limit=FSIZE:{limits.file_size}:{limits.file_size}",
        f"limit=CPU:{limits.cpu_seconds}:{limits.cpu_seconds + 1}",
    ]
    if not counted:
        words += [f"limit=AS:{limits.memory}:{limits.memory}", f"limit=NPROC:{limits.processes}:{limits.processes}"]
    return words

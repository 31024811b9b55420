"""The first process of a container, where it is none: what it says of that, and how it reads what Linux says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labkit.grading.sandbox import container_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are what Linux has")


def test_nothing_starts_where_the_processes_of_the_machine_are_seen() -> None:
    words = [sys.executable, "-I", "-S", container_program.__file__, "/x", "1", "--", "/bin/echo", "started"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The engine lets a container see the processes of this machine")


@pytest.mark.parametrize(
    ("points", "devices", "more"),
    [
        (["/", "/proc/kcore", "/dev/pts", "/usr", "/sys/fs/cgroup"], ["null", "shm"], None),
        (["/", "/usr", "/usr/local"], [], "/usr/local"),
        (["/", "/dev/shm/other"], [], "/dev/shm/other"),
        (["/", "/process"], [], "/process"),
        (["/"], ["null", "kvm"], "/dev/kvm"),
    ],
)
def test_what_was_not_asked_for_is_named(
    monkeypatch: pytest.MonkeyPatch, points: list[str], devices: list[str], more: str | None
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr("os.listdir", lambda _: devices)
    monkeypatch.setattr(container_program, "mount_points", lambda: points)
    words = ["/run/labkit/s", "1.0", "/usr", "PATH=/usr/local", "--", "/usr/local"]
    if more is None:
        container_program.see_to_the_container(words)
        return
    with pytest.raises(SystemExit, match=rf"not asked for, {more}\. For Podman take it out of containers\.conf"):
        container_program.see_to_the_container(words)

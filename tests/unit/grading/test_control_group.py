"""Control groups: where one is made, what is written into it, what it counts, and that none is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.grading.sandbox import control_group
from labkit.grading.sandbox.control_group import ControlGroup, limited_group, make_control_group

OF_VERSION_1 = "8:pids:/\n4:memory:/service/one\n1:cpu,cpuacct:/\n0::/\n"
OF_VERSION_2 = "0::/user.slice/app.slice/run.scope\n"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A tree of version 1."""
    for folder in ("memory/service/one", "pids"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A tree of version 2, in which the group beside one's own may be limited."""
    (tmp_path / "user.slice/app.slice/run.scope").mkdir(parents=True)
    (tmp_path / "user.slice/app.slice/cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "user.slice/app.slice/run.scope/cgroup.subtree_control").write_text("\n")
    return tmp_path


def test_in_version_1_memory_and_processes_have_a_group_each(first: Path) -> None:
    group = make_control_group(1000, 10, root=first, own=OF_VERSION_1)
    assert group is not None
    assert group.memory.parent == first / "memory/service/one"
    assert group.pids.parent == first / "pids"
    assert (group.memory / "memory.limit_in_bytes").read_text() == "1000"
    assert (group.pids / "pids.max").read_text() == "12"
    assert group.entries == [f"{group.memory}/cgroup.procs", f"{group.pids}/cgroup.procs"]


def test_in_version_2_one_group_beside_the_own_has_both(second: Path) -> None:
    group = make_control_group(1000, 10, root=second, own=OF_VERSION_2)
    assert group is not None
    assert group.memory == group.pids
    assert group.memory.parent == second / "user.slice/app.slice"
    assert (group.memory / "memory.max").read_text() == "1000"
    assert group.entries == [f"{group.memory}/cgroup.procs"]


def test_in_version_2_the_own_group_will_do_if_it_hands_on(second: Path) -> None:
    own = second / "user.slice/app.slice/run.scope"
    (own / "cgroup.subtree_control").write_text("memory pids")
    group = make_control_group(1000, 10, root=second, own=OF_VERSION_2)
    assert group is not None
    assert group.memory.parent == own


@pytest.mark.parametrize("own", ["", OF_VERSION_1, OF_VERSION_2, "0::/../outside\n"])
def test_where_none_can_be_made_there_is_none(tmp_path: Path, own: str) -> None:
    assert make_control_group(1000, 10, root=tmp_path / "nothing", own=own) is None


def test_what_is_half_made_is_removed(first: Path) -> None:
    (first / "pids").rmdir()
    assert make_control_group(1000, 10, root=first, own=OF_VERSION_1) is None
    assert list((first / "memory/service/one").iterdir()) == []


def test_what_a_killed_process_has_left_is_removed_and_nobody_else_s(first: Path) -> None:
    folder = first / "pids"
    (folder / "labkit-sandbox-999999999-1").mkdir()
    (folder / f"labkit-sandbox-{os.getpid()}-0").mkdir()
    (folder / "labkit-sandbox-x").mkdir()
    assert make_control_group(1000, 10, root=first, own=OF_VERSION_1) is not None
    left = {path.name for path in folder.iterdir()}
    assert {f"labkit-sandbox-{os.getpid()}-0", "labkit-sandbox-x"} < left
    assert "labkit-sandbox-999999999-1" not in left


@pytest.mark.parametrize("file", ["memory.events", "memory.oom_control"])
def test_it_counts_what_the_kernel_has_killed_and_refused(tmp_path: Path, file: str) -> None:
    group = ControlGroup(tmp_path, tmp_path)
    assert group.used_up() == set()
    (tmp_path / file).write_text("under_oom 0\noom_kill 0\n")
    (tmp_path / "pids.events").write_text("max 0\n")
    assert group.used_up() == set()
    (tmp_path / file).write_text("under_oom 0\noom_kill 2\n")
    (tmp_path / "pids.events").write_text("max 1\n")
    assert group.used_up() == {"memory", "processes"}


@pytest.mark.parametrize("version", [1, 2])
def test_the_group_that_somebody_else_has_made_is_found_by_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """In version 2 a container may be in a group below the one that is limited."""
    memory, pids = (tmp_path / "memory/box", tmp_path / "pids/box") if version == 1 else (tmp_path / "box",) * 2
    inner = {1: "4:memory:/box\n8:pids:/box\n0::/box\n", 2: "0::/box/container\n"}[version]
    for folder in {memory, pids, tmp_path / "box/container"}:
        folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(control_group, "_groups_of_process", lambda _: inner)
    page = os.sysconf("SC_PAGE_SIZE")
    assert limited_group(1, 100 * page, 12, root=tmp_path) is None
    (memory / {1: "memory.limit_in_bytes", 2: "memory.max"}[version]).write_text(f"{100 * page}\n")
    (pids / "pids.max").write_text("12\n")
    assert limited_group(1, 100 * page + 1, 12, root=tmp_path) == ControlGroup(memory, pids)
    assert limited_group(1, 100 * page, 13, root=tmp_path) is None
    assert limited_group(1, 99 * page, 12, root=tmp_path) is None


def test_one_that_cannot_be_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control_group, "END_TIMEOUT", 0.0)
    (tmp_path / "held").mkdir()
    ControlGroup(tmp_path, tmp_path).remove()
    assert str(tmp_path) in caplog.text

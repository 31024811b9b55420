"""How the workers of a group are members of it: their names, where they live, and what each holds for how long."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.parameters import check_fields, check_names


@check_names
@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """How the workers of a group are members of it; times in seconds.

    They are called `name`-1, `name`-2, … With `processes` each is a process of its own, which can be killed; its
    handler must then be importable. One that is silent for `session_timeout` (by default as in the settings) counts as
    dead. In a share group that is the broker's, and each task is locked for one worker for `lock` (by default 30).
    A worker holds at most `max_in_flight` tasks that are not finished: by default 1,000, in a share group 10, and in
    either at least twice as many as it does at once. With `plain` any text is a task, also what is no JSON.

    Raises `BadType` and `BadValue`.
    """

    name: str = "worker"
    processes: bool = False
    session_timeout: float | None = None
    lock: float | None = None
    max_in_flight: int | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

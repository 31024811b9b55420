"""The verdict on a history: what went wrong, by name, in a sentence each; and what is left open, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TypeVar

from labkit.parameters import BadValue, did_you_mean

LOST = "lost task"
UNWRITTEN = "acknowledged but unwritten"
SKIPPED = "skipped on poll"
AHEAD = "commit ahead of the work"
GOING_BACK = "offset going back"
OUT_OF_ORDER = "out of order within a key"
REUSED_ID = "one id for two tasks"
SWAPPED = "result of another task"
DONE_UNBEGUN = "done though never begun"
DEAD_TWICE = "dead-lettered twice"
DEAD_THOUGH_DONE = "dead letter of a finished task"
DEAD_UNBEGUN = "dead letter of a task never begun"
LOST_IN_REPLAY = "lost in replay"
EFFECT_TWICE = "effect done twice"
NO_EFFECT = "mark without an effect"
DUPLICATE = "duplicate"

#: All anomalies, in the order in which a verdict shows them.
ANOMALIES = (
    LOST,
    UNWRITTEN,
    SKIPPED,
    AHEAD,
    GOING_BACK,
    OUT_OF_ORDER,
    REUSED_ID,
    SWAPPED,
    DONE_UNBEGUN,
    DEAD_TWICE,
    DEAD_THOUGH_DONE,
    DEAD_UNBEGUN,
    LOST_IN_REPLAY,
    EFFECT_TWICE,
    NO_EFFECT,
    DUPLICATE,
)

#: What delivery at least once allows.
AT_LEAST_ONCE = (DUPLICATE,)

#: So many anomalies of each name are kept; all are counted.
KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One thing that went wrong. `when` is in seconds by the clock of `who`; None where a field says nothing."""

    name: str
    task: str | None
    partition: int | None
    offset: int | None
    who: str | None
    when: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What the rule of this name leaves open, and why, in a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Further:
    """So many more anomalies of this name, which are only counted."""

    name: str
    count: int


Finding = Anomaly | Unjudged | Further

Hit = TypeVar("Hit")


def described(name: str, hits: Sequence[Hit], describe: Callable[[Hit], Anomaly]) -> Iterator[Finding]:
    """The anomalies of this name: the first `KEPT` with their sentences."""
    yield from map(describe, hits[:KEPT])
    if len(hits) > KEPT:
        yield Further(name, len(hits) - KEPT)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verdict:
    """What the checker found. `anomalies` has every name of `ANOMALIES`, with nothing where all is well.

    Of each name the first `KEPT` are there, and `counts` tells how many there are. `tasks`: those that were
    acknowledged or are on the topic. `attempts`: how often a handler began. `redeliveries`: how often a record was
    received that had been received before. `unjudged`: by name, what was left open and why. With a `refusal`, which
    says why, nothing was judged.
    """

    anomalies: Mapping[str, tuple[Anomaly, ...]]
    counts: Mapping[str, int]
    tasks: int
    attempts: int
    redeliveries: int
    unjudged: Mapping[str, str] = field(default_factory=dict)
    refusal: str | None = None

    def ok(self, allow: Collection[str] = AT_LEAST_ONCE) -> bool:
        """Whether the history was judged and there is nothing but what is allowed.

        Raises `BadValue` for a name that no anomaly has.
        """
        unknown = set(allow) - set(ANOMALIES)
        if unknown:
            name, known = min(unknown), ", ".join(ANOMALIES)
            raise BadValue(f"There is no anomaly named {name!r}; give some of {known}.{did_you_mean(name, ANOMALIES)}")
        return self.refusal is None and not any(count for name, count in self.counts.items() if name not in allow)

    def __str__(self) -> str:
        lines = [self._summary()]
        lines += [f"{count:>6}  {name}: {example}" for name, count, example in self._rows()]
        return "\n".join([*lines, *self._open()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{escape(name)}</td><td>{count}</td>'
            f'<td style="text-align:left">{escape(example)}</td></tr>'
            for name, count, example in self._rows()
        )
        head = '<tr><th style="text-align:left">anomaly</th><th>count</th><th style="text-align:left">example</th></tr>'
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
        left_open = "".join(f"<p>{escape(line)}</p>" for line in self._open())
        return f"<p>{escape(self._summary())}</p>{table}{left_open}"

    def _summary(self) -> str:
        if self.refusal is not None:
            return f"Not judged: {self.refusal}"
        numbers = f"{self.tasks} tasks, {self.attempts} attempts, {self.redeliveries} redeliveries"
        if not any(self.counts.values()):
            return f"All is well: {numbers}, no anomaly."
        if self.ok():
            return f"All is well: {numbers}, and nothing but duplicates, which delivery at least once allows."
        return f"Something went wrong: {numbers}."

    def _rows(self) -> list[tuple[str, int, str]]:
        """Name, count and first example of every anomaly that was found."""
        return [
            (f"{name} (allowed)" if name in AT_LEAST_ONCE else name, self.counts[name], found[0].sentence)
            for name, found in self.anomalies.items()
            if found
        ]

    def _open(self) -> list[str]:
        return [f"Left open, {name}: {reason}" for name, reason in self.unjudged.items()]

"""The verdict on a history: what went wrong, by name, each with one sentence that says it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape

LOST = "lost task"
DUPLICATE = "duplicate"
OUT_OF_ORDER = "out of order within a key"
GOING_BACK = "offset going back"
SKIPPED = "skipped on poll"
UNWRITTEN = "acknowledged but unwritten"
DEAD_TWICE = "dead-lettered twice"
EFFECT_TWICE = "effect done twice"

#: All anomalies, in the order in which a verdict shows them.
ANOMALIES = (LOST, UNWRITTEN, SKIPPED, GOING_BACK, OUT_OF_ORDER, DEAD_TWICE, EFFECT_TWICE, DUPLICATE)

#: What delivery at least once allows.
AT_LEAST_ONCE = (DUPLICATE,)


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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verdict:
    """What the checker found. `anomalies` has every name of `ANOMALIES`, with nothing where all is well.

    `tasks`: those that were acknowledged or are on the topic. `attempts`: how often a handler began.
    `redeliveries`: how often a record was received that had been received before.
    """

    anomalies: Mapping[str, tuple[Anomaly, ...]]
    tasks: int
    attempts: int
    redeliveries: int

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each anomaly."""
        return {name: len(found) for name, found in self.anomalies.items()}

    def ok(self, allow: Collection[str] = AT_LEAST_ONCE) -> bool:
        """Whether there is nothing but what is allowed; raises `ValueError` for a name that no anomaly has."""
        unknown = set(allow) - set(ANOMALIES)
        if unknown:
            raise ValueError(f"There is no anomaly named {', '.join(sorted(unknown))}: {', '.join(ANOMALIES)}.")
        return not any(found for name, found in self.anomalies.items() if name not in allow)

    def __str__(self) -> str:
        lines = [self._summary()]
        lines += [f"{count:>6}  {name}: {example}" for name, count, example in self._rows()]
        return "\n".join(lines)

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
        return f"<p>{escape(self._summary())}</p>{table}"

    def _summary(self) -> str:
        numbers = f"{self.tasks} tasks, {self.attempts} attempts, {self.redeliveries} redeliveries"
        if not any(self.counts.values()):
            return f"All is well: {numbers}, no anomaly."
        if self.ok():
            return f"All is well: {numbers}, and nothing but duplicates, which delivery at least once allows."
        return f"Something went wrong: {numbers}."

    def _rows(self) -> list[tuple[str, int, str]]:
        """Name, count and first example of every anomaly that was found."""
        return [
            (f"{name} (allowed)" if name in AT_LEAST_ONCE else name, len(found), found[0].sentence)
            for name, found in self.anomalies.items()
            if found
        ]

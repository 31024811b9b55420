"""The checker: from a history to a verdict, without Kafka, without a clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from labkit.faults import completeness, consistency, precedence, repetition
from labkit.faults.columns import TEXTS, WHOLE, EventColumns, Numbers
from labkit.faults.event import Event
from labkit.faults.facts import Facts
from labkit.faults.group_facts import facts_by_group, left_out
from labkit.faults.history import History
from labkit.faults.refusals import refusal, refusal_to_praise
from labkit.faults.verdict import ANOMALIES, KEPT, Anomaly, Finding, Further, Unjudged, Verdict
from labkit.parameters import checked

Rule = Callable[[Facts], Iterator[Finding]]

#: What the topic and its producers did is the same for every group.
_OF_THE_TOPIC: tuple[Rule, ...] = (completeness.acknowledged_but_unwritten, consistency.one_id_for_two_tasks)

_OF_A_GROUP: tuple[Rule, ...] = (
    completeness.lost_tasks,
    completeness.lost_in_replay,
    completeness.skipped_on_poll,
    precedence.commits_ahead_of_the_work,
    precedence.offsets_going_back,
    precedence.out_of_order_within_a_key,
    consistency.results_of_other_tasks,
    consistency.done_though_never_begun,
    consistency.letters_of_finished_tasks,
    consistency.letters_of_tasks_never_begun,
    consistency.marks_without_an_effect,
    repetition.dead_lettered_twice,
    repetition.effects_done_twice,
    repetition.duplicates,
)


@checked
def check(history: Iterable[Event]) -> Verdict:
    """The verdict on the history of a whole run.

    Clocks of different actors are never compared, and the order of the events means nothing: what is compared is
    offsets, and moments of one actor by its own numbering. docs/checker.md says what each anomaly means, and when there
    is a refusal instead. Each group is judged by itself. Order within keys is a promise of the orders "partition" and
    "key"; for others, allow `OUT_OF_ORDER`. Raises `HistoryUnreadable` for numbers that 64 bits do not hold.
    """
    columns = distinct(History(history).columns)
    facts = Facts(columns)
    reason = refusal(facts)
    if reason is not None:
        return _refused(facts, reason)
    groups = facts_by_group(facts)
    findings = _Findings()
    findings.take(left_out(facts, groups), "")
    if len(groups) == 1:
        (facts,) = groups.values()  # one is enough in memory
    for rule in _OF_THE_TOPIC:
        findings.take(rule(facts), "")
    for name, group in groups.items():
        for rule in _OF_A_GROUP:
            findings.take(rule(group), f"In group {name}: " if len(groups) > 1 else "")
    reason = None if findings.counts else refusal_to_praise(facts)
    if reason is not None:
        return _refused(facts, reason)
    return Verdict(
        anomalies={name: tuple(findings.kept[name][:KEPT]) for name in ANOMALIES},
        counts={name: findings.counts[name] for name in ANOMALIES},
        tasks=int(facts.promised.sum()),
        attempts=len(facts.rows("started")),
        redeliveries=sum(int(np.maximum(group.received_times - 1, 0).sum()) for group in groups.values()),
        unjudged=dict(findings.unjudged),
    )


def _refused(facts: Facts, reason: str) -> Verdict:
    return Verdict(
        anomalies=dict.fromkeys(ANOMALIES, ()),
        counts=dict.fromkeys(ANOMALIES, 0),
        tasks=int(facts.promised.sum()),
        attempts=len(facts.rows("started")),
        redeliveries=0,
        refusal=reason,
    )


class _Findings:
    """What the rules have found: all counted, of each name the first `KEPT`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: defaultdict[str, list[Anomaly]] = defaultdict(list)
        self.unjudged: dict[str, str] = {}

    def take(self, findings: Iterable[Finding], of: str) -> None:
        """Take what a rule says; its sentences begin with the words that tell of whom."""
        for found in findings:
            if isinstance(found, Unjudged):
                said = [self.unjudged[found.name]] if found.name in self.unjudged else []
                self.unjudged[found.name] = " ".join([*said, of + found.reason])
            elif isinstance(found, Further):
                self.counts[found.name] += found.count
            else:
                self.counts[found.name] += 1
                self.kept[found.name].append(replace(found, sentence=of + found.sentence))


def distinct(columns: EventColumns) -> EventColumns:
    """Each event once: of rows that are equal in every column, the first."""
    suspects = _with_equal_numbers(columns)
    if not len(suspects):
        return columns
    beyond = np.array([hash(columns.beyond_of(row).tobytes()) for row in suspects.tolist()], dtype=np.int64)
    parts = [columns.numbers[name][suspects] for name in (*TEXTS, *WHOLE)] + [columns.at[suspects], beyond]
    order = np.lexsort(parts)  # stable, so the first one comes first
    again = np.ones(len(suspects) - 1, dtype=bool)
    for part in parts:
        this, before = part[order[1:]], part[order[:-1]]
        again &= (this == before) | ((this != this) & (before != before))  # a moment may be NaN
    if not again.any():
        return columns
    kept = np.ones(len(columns), dtype=bool)
    kept[suspects[order[1:][again]]] = False
    return columns.take(np.flatnonzero(kept))


def _with_equal_numbers(columns: EventColumns) -> Numbers:
    """The rows whose actor has given their number more than once."""
    by, seq = columns.numbers["by"], columns.numbers["seq"]
    order = np.lexsort((seq, by))
    equal = (np.diff(by[order]) == 0) & (np.diff(seq[order]) == 0)
    repeated = np.append(equal, False) | np.insert(equal, 0, False) if len(order) else np.empty(0, dtype=bool)
    return np.sort(order[repeated])

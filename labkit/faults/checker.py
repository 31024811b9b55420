"""The checker: from a history to a verdict, without Kafka, without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from labkit.faults import completeness, order, repetition
from labkit.faults.facts import Facts
from labkit.faults.history import Event
from labkit.faults.verdict import (
    ANOMALIES,
    DEAD_TWICE,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    OUT_OF_ORDER,
    SKIPPED,
    UNWRITTEN,
    Anomaly,
    Verdict,
)

_RULES: dict[str, Callable[[Facts], Iterator[Anomaly]]] = {
    LOST: completeness.lost_tasks,
    UNWRITTEN: completeness.acknowledged_but_unwritten,
    SKIPPED: completeness.skipped_on_poll,
    GOING_BACK: order.offsets_going_back,
    OUT_OF_ORDER: order.out_of_order_within_a_key,
    DEAD_TWICE: repetition.dead_lettered_twice,
    EFFECT_TWICE: repetition.effects_done_twice,
    DUPLICATE: repetition.duplicates,
}


def check(history: Iterable[Event]) -> Verdict:
    """The verdict on the history of a whole run.

    Clocks of different actors are never compared, and the order of the list means nothing: what is compared is
    offsets, and moments of one actor by its own numbering. docs/checker.md says what each anomaly means. Order
    within keys is a promise of the orders "partition" and "key"; for others, allow `OUT_OF_ORDER`.
    """
    facts = Facts(history)
    deliveries = sum(len(receipts) for receipts in facts.received_at.values())
    return Verdict(
        anomalies={name: tuple(_RULES[name](facts)) for name in ANOMALIES},
        tasks=len(facts.promised()),
        attempts=facts.attempts,
        redeliveries=deliveries - len(facts.received_at),
    )

"""What whoever keeps the door remembers between two judgements: the strategy's state, and the answers since."""

from __future__ import annotations

from typing import Generic

from labkit.backpressure.contract import AdmissionDecision, QueueView, S, Strategy


class AdmissionState(Generic[S]):
    """The memory of one door, live or simulated. One thread at a time may use it."""

    def __init__(self, strategy: Strategy[S]) -> None:
        self.strategy = strategy
        #: What the strategy remembers; for `aimd` it holds the limit of the moment.
        self.state: S = strategy.begin()
        self._answers = 0
        self._latencies = 0.0

    def answered(self, latency: float) -> None:
        """A task was finished, `latency` seconds after it was let in."""
        self._answers += 1
        self._latencies += latency

    def judge(self, now: float, *, lag: int, rank: int = 0, lowest: int | None = None) -> AdmissionDecision:
        """What to do with the task at the door at the time `now`; the other arguments are those of `QueueView`.

        The verdict must be carried out: a task that is admitted counts as let in.
        """
        sight = QueueView(
            lag=lag,
            rank=rank,
            lowest=lowest,
            answered=self._answers,
            latency=self._latencies / self._answers if self._answers else None,
        )
        self._answers, self._latencies = 0, 0.0
        verdict, self.state = self.strategy.judge(sight, self.state, now)
        return verdict

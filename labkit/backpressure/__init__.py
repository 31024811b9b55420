"""What to do where a queue grows: pure functions of what is seen of it, of their own state and of the time.

To add a strategy, add a module like `refuse`: it is found by being here, and known by its name everywhere.
"""

from __future__ import annotations

from labkit.backpressure.contract import Action, AdmissionDecision, QueueView, Strategy
from labkit.backpressure.gate import AdmissionState
from labkit.backpressure.registry import STRATEGIES, discover, make_strategy, options_of, parse_strategy

__all__ = [
    "STRATEGIES",
    "Action",
    "AdmissionDecision",
    "AdmissionState",
    "QueueView",
    "Strategy",
    "make_strategy",
    "options_of",
    "parse_strategy",
]

discover(__path__, __name__)

"""What to do where a queue grows: pure functions of what is seen of it, of their own state and of the time.

To add a strategy, add a module like `slow`: it is found by being here, and known by its name everywhere.
"""

from __future__ import annotations

from labkit.backpressure.strategy import STRATEGIES, Action, AdmissionDecision, AdmissionState, QueueView, Strategy

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

#: The strategy of that name with these options, or as the text says, and the options that it takes; they raise
#: `SettingsError`.
make_strategy, parse_strategy, options_of = STRATEGIES.make, STRATEGIES.parse, STRATEGIES.options_of

STRATEGIES.discover(__path__, __name__)

"""Which class of tasks is served next: pure functions of a view of the queues and the time.

To add a policy, add a module like `strict`: it is found by being here, and known by its name everywhere.
"""

from __future__ import annotations

from labkit.policies.contract import Backlog, ClassView, Decision, Policy, PriorityClass, View
from labkit.policies.ledger import Ledger
from labkit.policies.registry import POLICIES, discover, make_policy, options_of

__all__ = [
    "POLICIES",
    "Backlog",
    "ClassView",
    "Decision",
    "Ledger",
    "Policy",
    "PriorityClass",
    "View",
    "make_policy",
    "options_of",
]

discover(__path__, __name__)

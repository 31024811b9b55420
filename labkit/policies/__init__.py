"""Which class of tasks is served next: pure functions of a view of the queues and the time.

To add a policy, add a module like `strict`: it is found by being here, and known by its name everywhere.
"""

from __future__ import annotations

from labkit.policies.policy import POLICIES, Backlog, ClassView, Decision, Ledger, Policy, PriorityClass, View

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

#: The policy of that name with these options, and the options that it takes; both raise `SettingsError`.
make_policy, options_of = POLICIES.make, POLICIES.options_of

POLICIES.discover(__path__, __name__)

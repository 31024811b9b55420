"""The grader: student code runs in a sandbox, and verdicts are computed outside of it."""

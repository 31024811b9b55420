"""Closed forms, each with its source: what to expect before anything runs."""

"""Tests over either of two clients of Kafka: `make test` tries one of them, in turn, and `make soak` both."""

from __future__ import annotations

from collections import defaultdict
from typing import get_args
from zlib import crc32

import pytest

from labkit.settings import TransportName

LIBRARIES = get_args(TransportName)
#: These try the clients themselves, so they are run over both. What stands upon them is the same code over either.
BOTH = ("test_contract.py", "test_first_use.py", "test_outage.py", "test_transactions.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark one of each two as long, before what is long is left out."""
    pairs: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.nodeid.startswith("tests/integration/") and item.path.name not in BOTH:
            for library in LIBRARIES:
                if library in item.name:
                    pairs[item.nodeid.replace(library, "")].append(item)
    for name, pair in pairs.items():
        if len(pair) == len(LIBRARIES):
            pair[crc32(name.encode()) % 2].add_marker(pytest.mark.long)

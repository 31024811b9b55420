"""What integration tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.own_redis import OwnRedis


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    made = OwnRedis(tmp_path_factory.mktemp("r"))
    made.start()
    yield made
    made.kill()

"""Dead letters on the real broker, through both client libraries."""

from __future__ import annotations

import pytest

from labkit.taskqueue import connect
from tests.contract.dead_letters import *  # noqa: F403


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(request, lab):
    with connect(lab, transport=request.param) as topics:
        yield topics

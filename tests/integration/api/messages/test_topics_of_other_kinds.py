"""A topic that is there and can be no queue is refused at the start."""

from __future__ import annotations

import pytest

from labkit.api.messages import MessageQueues
from labkit.errors import SettingsError


@pytest.mark.anyio
async def test_one_that_is_compacted_would_lose_messages(lab, topics, make_settings) -> None:
    topics.create("latest", partitions=1, config={"cleanup.policy": "compact"})
    with pytest.raises(
        SettingsError, match="LABKIT_API_TOPICS names 'latest', which is no topic of messages"
    ) as refused:
        async with MessageQueues(lab, make_settings(api_topics="latest")):
            pass
    assert "\n" not in str(refused.value)

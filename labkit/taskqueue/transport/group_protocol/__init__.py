"""A request of Kafka's protocol that kafka-python does not have: which members a group of the newer kind has.

kafka-python builds messages from Kafka's own descriptions of them; that of this request (KIP-848) lies beside this
file.
"""

from __future__ import annotations

import sys

from kafka.protocol.api_message import ApiMessage

_HERE = sys.modules[__name__]


class ConsumerGroupDescribeRequest(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]  # kafka-python has no types
    """Which members groups have whose members name no partitions themselves (KIP-848)."""


class ConsumerGroupDescribeResponse(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """The answer to `ConsumerGroupDescribeRequest`."""

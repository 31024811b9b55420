"""Requests of Kafka's protocol that no Python client has yet: which members a share group has, how far it is, and from
where it is to go on.

kafka-python builds messages from Kafka's own descriptions of them; those of these requests (KIP-932, KIP-1226) lie
beside this file.
"""

from __future__ import annotations

import sys

from kafka.protocol.api_message import ApiMessage

_HERE = sys.modules[__name__]


class AlterShareGroupOffsetsRequest(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]  # kafka-python has no types
    """From which offsets a share group goes on."""


class AlterShareGroupOffsetsResponse(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """The answer to `AlterShareGroupOffsetsRequest`."""


class DescribeShareGroupOffsetsRequest(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """How far share groups are, per partition. Version 1 tells the lag too."""


class DescribeShareGroupOffsetsResponse(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """The answer to `DescribeShareGroupOffsetsRequest`."""


class ShareGroupDescribeRequest(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """Which members share groups have, and their partitions."""


class ShareGroupDescribeResponse(ApiMessage, load_json=_HERE):  # type: ignore[misc,call-arg]
    """The answer to `ShareGroupDescribeRequest`."""

"""What the consumer over confluent-kafka tells librdkafka."""

from __future__ import annotations

from labkit.taskqueue.transport.contract import ConsumerConfig

#: How often a member says that it lives and hears of a rebalance, in seconds; a third of the session at most.
HEARTBEAT_INTERVAL = 0.3
#: How long the broker holds a fetch when there is nothing new, in ms. A partition that was just resumed or
#: assigned may wait as long until it is fetched.
FETCH_MAX_WAIT_MS = 100
#: librdkafka wants a group's name even where none is joined.
NO_GROUP = "labkit-without-a-group"


def settings_of(config: ConsumerConfig) -> dict[str, object]:
    """By the names of Python, with underscores."""
    session_timeout_ms = int(config.session_timeout * 1000)
    return {
        "client_id": config.client_id,
        "group_id": config.group or NO_GROUP,
        "enable_auto_commit": False,
        "enable_auto_offset_store": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "enable_partition_eof": True,
        "partition_assignment_strategy": "roundrobin",
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(int(HEARTBEAT_INTERVAL * 1000), session_timeout_ms // 3),
        "max_poll_interval_ms": max(int(config.max_poll_interval * 1000), session_timeout_ms),
        "fetch_wait_max_ms": FETCH_MAX_WAIT_MS,
    }

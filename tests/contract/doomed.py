"""A member of a group in a process of its own, to be killed: it reads, and commits nothing.

Its job comes as one JSON line on standard input; it prints its partitions whenever they change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from labkit.lab.connection import Connection
from labkit.taskqueue.transport import ConsumerConfig, connect_transport


def main() -> None:
    job = json.loads(sys.stdin.readline())
    connection = job["connection"]
    files = {name: Path(value) for name, value in connection.items() if name.endswith("_file") and value is not None}
    transport = connect_transport(Connection(**connection | files), job["transport"])
    consumer = transport.consumer(
        ConsumerConfig(group=job["topic"], client_id=job["name"], session_timeout=job["session_timeout"])
    )

    def tell(partitions: object) -> None:
        print(json.dumps([tp.partition for tp in partitions]), flush=True)

    consumer.subscribe([job["topic"]], on_assigned=tell, on_revoked=lambda _: tell([]))
    while True:
        consumer.poll(0.1)


if __name__ == "__main__":
    main()

"""The running lab: a real Kafka and a real Redis, started, found, used and stopped."""

from labkit.lab.connection import Connection
from labkit.lab.lab import Lab, attach_lab, open_lab

__all__ = ["Connection", "Lab", "attach_lab", "open_lab"]

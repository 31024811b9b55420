"""What a user may not do to the topics and groups of a cluster, or what is not there."""

from __future__ import annotations

from labkit.errors import LabkitError


class InternalTopic(LabkitError):
    says = "The topic is Kafka's own, as are all whose names begin with two underscores, so labkit leaves it as it is."

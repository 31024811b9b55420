"""The ways to a Kafka cluster, behind one contract (`labkit.taskqueue.transport.contract`)."""

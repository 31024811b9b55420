"""Distributed task queues on the real thing: a Kafka lab in one command, and a small, honest task queue on it."""

"""The engine of a worker: orders, executors, retries, and offsets that never run ahead of the work."""

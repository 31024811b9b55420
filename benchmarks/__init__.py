"""The figures of labkit, measured: `python -m benchmarks`, or `make bench`; those under faults by `make soak`."""

"""The figures of labkit, measured. `python -m benchmarks` (or `make bench`) measures all, or those named."""

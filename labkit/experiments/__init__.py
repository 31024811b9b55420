"""Experiments: notebooks and sweeps, run without a browser."""

"""The HTTP API: jobs and messages."""

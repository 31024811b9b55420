"""Grading on several computers: one asks, workers anywhere grade, and a folder that all reach has the files."""

"""Processes of our own: how one is started, told, heard, logged and ended."""

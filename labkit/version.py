"""Which version of labkit this is, as it was installed."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("labkit")

"""The command line: `labkit …`. Thin: every command is one call into the rooms below."""

from __future__ import annotations

import sys

from labkit.errors import LabkitError


def main() -> None:
    """Run the command line; a `LabkitError` becomes one paragraph and exit status 1, Ctrl-C 130."""
    try:
        from labkit.cli.commands import app

        app()
    except LabkitError as error:
        print(f"labkit: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

"""The `crow` command: what a person types."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from crow_plugins.uncollected import uncollected


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    with uncollected():
        from crow_plugins.cli.app import run  # most of what a short command takes is importing
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


__all__ = ["main"]

"""The `crow` command: what a person types."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from crow_plugins.uncollected import uncollected

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit; Ctrl-C ends it quietly."""
    try:
        with uncollected():
            from crow_plugins.cli.app import run  # most of what a short command takes is importing
        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


__all__ = ["main"]

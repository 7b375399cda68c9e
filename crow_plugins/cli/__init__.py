"""The `crow` command: what a person types."""

from __future__ import annotations

from crow_plugins.cli.app import main

__all__ = ["main"]

"""Crow: plugins that turn a FastMCP server into one instance of a chain.

from crow_plugins import mount
mount(mcp)      # onto a FastMCP server of your own; `crow serve` runs one of ours
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crow_plugins.host import Host
    from crow_plugins.mounting import AuthenticationMissing, mount

__version__ = "0.1.0"

__all__ = ["AuthenticationMissing", "Host", "__version__", "mount"]

_ROOMS = {"Host": "host", "mount": "mounting", "AuthenticationMissing": "mounting"}


def __getattr__(name: str) -> object:
    """Import on first use: a pure room below must not pull the whole house in."""
    if name not in _ROOMS:
        raise AttributeError(f"module crow_plugins has no attribute {name}")
    return getattr(import_module(f"crow_plugins.{_ROOMS[name]}"), name)

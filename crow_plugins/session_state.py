"""The state that a FastMCP server keeps for its clients: loaded when somebody keeps some, and not to find none.

FastMCP looks at every call whether a client has chosen what to see, and loads its store for that: four hundred modules
that take a fifth of a second of the first call and 15 MiB, though none of our tools keeps any state. There is no
public way to do without, so this one module reaches for the attribute behind `FastMCP._state_store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmcp import FastMCP

STORE = "_FastMCP__state_store"


class StateWhenKept:
    """Stands for a server's own store, which it asks to be made by the first that keeps or deletes something."""

    def __init__(self, server: FastMCP) -> None:
        self._server = server
        self._store: Any = None

    async def get(self, key: str) -> Any:
        return None if self._store is None else await self._store.get(key=key)

    def __getattr__(self, name: str) -> Any:
        if self._store is None:
            setattr(self._server, STORE, None)
            self._store = self._server._state_store
        return getattr(self._store, name)


def load_when_kept(server: FastMCP) -> None:
    """Let `server` do without a store for now; one that it was given stays, since others may have kept something."""
    if server._state_storage is None and getattr(server, STORE) is None:
        setattr(server, STORE, StateWhenKept(server))

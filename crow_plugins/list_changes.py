"""Telling connected clients that the lists of tools, resources and prompts changed, in both protocol eras.

Clients of the handshake era have a channel on which notifications reach them; those of the modern era
ask for changes with `subscriptions/listen`. FastMCP serves neither by itself when components come and go
behind a transform, so this one module uses two of its private seams: `_mcp_server`, to register the
listen handler, and `_connection` of a session, to know who is connected.
"""

from __future__ import annotations

import weakref
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ToolsListChanged,
)
from mcp_types import SubscriptionsListenRequestParams


class ListChanges(Middleware):
    """Knows the clients of one root server; a mounted server's clients are those of its root."""

    def __init__(self, server: FastMCP) -> None:
        self._bus = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._bus)
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        server._mcp_server.add_request_handler(
            "subscriptions/listen", SubscriptionsListenRequestParams, self._listening
        )
        server.add_middleware(self)

    async def on_message(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        connection = _connection(context)
        if connection is not None and connection.has_standalone_channel:
            self._connections.add(connection)
        return await call_next(context)

    async def tell(self) -> None:
        """Tell everybody to list again."""
        for connection in list(self._connections):
            await connection.send_tool_list_changed()
            await connection.send_resource_list_changed()
            await connection.send_prompt_list_changed()
        for event in (ToolsListChanged(), ResourcesListChanged(), PromptsListChanged()):
            await self._bus.publish(event)

    def close(self) -> None:
        """End the streams of those who listen, so that a stop does not wait for them."""
        self._listening.close()


def _connection(context: MiddlewareContext[Any]) -> Connection | None:
    if context.fastmcp_context is None:
        return None
    try:
        return context.fastmcp_context.session._connection
    except RuntimeError:  # a message outside any session
        return None

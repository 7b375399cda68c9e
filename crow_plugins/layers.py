"""What plugins put around the server that answers: HTTP middleware outside everything, MCP middleware on the root.

FastMCP runs the middleware it is given inside its own authentication, where a token is judged already and the body
is not there. What plugins register stands outside that. A layer of a plugin that is off lets everything pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastmcp import FastMCP
from fastmcp.server.middleware import CallNext, MiddlewareContext
from fastmcp.server.middleware import Middleware as MCPMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware

from crow_plugins.dispatch import BadPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from crow_plugins.host import Host


def around_messages(server: FastMCP, host: Host) -> None:
    """Put the plugins' MCP middleware around the messages of `server`, which must be the root that clients meet."""
    for owner, layer in _layers(host):
        if isinstance(layer, MCPMiddleware):
            server.add_middleware(GatedMessages(layer, lambda owner=owner: host.is_enabled(owner)))  # type: ignore[misc]


def around_requests(app: Starlette, host: Host) -> None:
    """Put the plugins' HTTP middleware around `app`, the first plugin's outermost."""
    for owner, layer in reversed(_layers(host)):
        if isinstance(layer, Middleware):
            app.add_middleware(GatedRequests, layer=layer, open=lambda owner=owner: host.is_enabled(owner))  # type: ignore[misc]


def _layers(host: Host) -> Sequence[tuple[str, object]]:
    layers = host.contributions("register_middleware", object)
    for owner, layer in layers:
        if not isinstance(layer, Middleware | MCPMiddleware):
            raise BadPlugin(owner, f"register_middleware returned a {type(layer).__name__}, which is no middleware")
    return layers


class GatedMessages(MCPMiddleware):
    """A plugin's MCP middleware, there while the plugin is on."""

    def __init__(self, layer: MCPMiddleware, open: Callable[[], bool]) -> None:
        self._layer, self._open = layer, open

    async def __call__(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        return await self._layer(context, call_next) if self._open() else await call_next(context)


class GatedRequests:
    """A plugin's HTTP middleware, there while the plugin is on."""

    def __init__(self, app: ASGIApp, layer: Middleware, open: Callable[[], bool]) -> None:
        self._app, self._open = app, open
        self._layered = layer.cls(app, *layer.args, **layer.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._layered if self._open() else self._app)(scope, receive, send)

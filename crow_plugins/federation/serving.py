"""How calls of other instances run: on the root server, held to what was judged at the door.

The tools listed are those that may be called. While a tool runs, the write door stays shut unless the call may write,
and no call may leave for a third instance. Messages of assistants pass untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mcp_types
from fastmcp.server.dependencies import get_http_request
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import Tool, ToolResult
from mcp.shared.exceptions import MCPError
from starlette.middleware import Middleware as HTTPMiddleware

from crow_plugins.callers import caller_in, serving
from crow_plugins.federation.inbound import Admitted, Inbound
from crow_plugins.federation.message import CALL_TOOL, LIST_TOOLS
from crow_plugins.federation.verifying import ADMITTED_KEY, FederationDoor

CLOSED = -32601  # JSON-RPC's method not found


def door(inbound: Inbound) -> HTTPMiddleware:
    return HTTPMiddleware(FederationDoor, inbound=inbound)


class ServedCalls(Middleware):
    """FastMCP middleware of the root server."""

    async def on_message(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        admitted = _admitted()
        if admitted is not None and context.method not in _judged(admitted):
            raise MCPError(code=CLOSED, message="other instances may list and call tools here, nothing else")
        return await call_next(context)

    async def on_list_tools(
        self,
        context: MiddlewareContext[mcp_types.ListToolsRequest],
        call_next: CallNext[mcp_types.ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        tools, admitted = await call_next(context), _admitted()
        return tools if admitted is None else [tool for tool in tools if _open(tool, admitted)]

    async def on_call_tool(
        self,
        context: MiddlewareContext[mcp_types.CallToolRequestParams],
        call_next: CallNext[mcp_types.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        admitted = _admitted()
        if admitted is None:
            return await call_next(context)
        if context.message.name != admitted.message.tool:
            raise MCPError(code=CLOSED, message="another tool was asked for at the door")
        admitted.status = "tool_error"
        with serving(admitted.exposed.instance_id, may_write=admitted.may_write):
            result = await call_next(context)
        if not result.is_error:
            admitted.status = "ok"
        return result


def _judged(admitted: Admitted) -> tuple[str, ...]:
    """The methods that may come of the request: to call a tool the server itself lists them, for its schema."""
    method = admitted.message.method
    return (CALL_TOOL, LIST_TOOLS) if method == CALL_TOOL else (method,)


def reads(tool: Tool) -> bool:
    """Whether a tool declares that it only reads."""
    return tool.annotations is not None and tool.annotations.read_only_hint is True


def _open(tool: Tool, admitted: Admitted) -> bool:
    exposed = admitted.exposed
    return exposed.allows(tool.name) and (reads(tool) or exposed.allows_writing(tool.name))


def _admitted() -> Admitted | None:
    try:
        scope = get_http_request().scope
    except RuntimeError:  # no HTTP: an assistant over stdio, or a client in this process
        return None
    admitted = scope.get(ADMITTED_KEY)
    return admitted if isinstance(admitted, Admitted) and caller_in(scope) is not None else None

"""A plugin that answers for another instance's summary: whatever a test has it say, or why it says nothing."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations

from crow_hooks import Crow, Decision, FederatedCall, ServiceKey, hookimpl

SAID: ServiceKey[dict[str, Any]] = ServiceKey("said by the talker")


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(SAID, {"answer": {}, "asked": [], "denies": ""})


@hookimpl
def on_federated_call(crow: Crow, call: FederatedCall) -> Decision | None:
    reason = crow.service(SAID)["denies"]
    return Decision.deny(reason) if reason and call.direction == "inbound" else None


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    server = FastMCP("talker")
    said = crow.service(SAID)

    @server.tool(name="crow_local_summary", annotations=ToolAnnotations(read_only_hint=True), output_schema=None)
    def speak(kinds: list[str] | None = None, known: dict[str, str] | None = None) -> ToolResult:
        """Say what the test says."""
        said["asked"].append((kinds, known))
        return ToolResult(content="said", structured_content=said["answer"])

    return server

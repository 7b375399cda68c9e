"""The tools by which an assistant reaches other instances. What comes back is data: fenced, with its origin."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_hooks import CallFailure, Instance, InstanceRegistry
from crow_plugins.federation.outbound import Outbound
from crow_plugins.federation.searching import FederatedHits, FederatedSearch, InstanceReport
from crow_plugins.rows.fence import fenced
from crow_plugins.wording import plural

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
CALLS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)

INSTANCE = Field(min_length=1, max_length=64, description="Its name, its id, or a beginning of either.")
THEIR_WORDS = frozenset({"tool_error", "refused"})
TIMEOUT = Field(ge=0.5, le=60.0, description="How many seconds to wait at the most.")


class RemoteTool(BaseModel):
    """A tool that another instance lets this one call."""

    name: str
    description: str
    input_schema: dict[str, Any]


class RemoteTools(BaseModel):
    """The tools of one instance."""

    instance: str
    items: list[RemoteTool]


class RemoteAnswer(BaseModel):
    """What a tool of another instance answered."""

    instance_id: str
    name: str
    structured: dict[str, Any] | None
    text: str
    milliseconds: float


def federation_tools(registry: InstanceRegistry, outbound: Outbound, searching: FederatedSearch) -> FastMCP:
    server = FastMCP("crow-federation", mask_error_details=True)
    _add_searching(server, searching)
    _add_calling(server, registry, outbound)
    return server


def _add_searching(server: FastMCP, searching: FederatedSearch) -> None:
    @server.tool(annotations=READS, output_schema=FederatedHits.model_json_schema())
    async def crow_federated_search(
        query: Annotated[str, Field(min_length=1, max_length=10_000, description="What to look for, in plain words.")],
        kinds: Annotated[list[str] | None, Field(description="Only these kinds of rows.")] = None,
        instances: Annotated[list[str] | None, Field(description="Only these instances; all when left out.")] = None,
        limit: Annotated[int, Field(ge=1, le=100, description="How many at the most.")] = 20,
        timeout_seconds: Annotated[float, TIMEOUT] = 15.0,
    ) -> ToolResult:
        """Search this machine and the person's other machines at once, best matches first."""
        found = await searching.search(query, kinds, instances, limit, timeout_seconds)
        return ToolResult(content=_found(found), structured_content=found.model_dump())


def _add_calling(server: FastMCP, registry: InstanceRegistry, outbound: Outbound) -> None:
    @server.tool(annotations=CALLS, output_schema=RemoteAnswer.model_json_schema())
    async def crow_call_instance(
        instance: Annotated[str, INSTANCE],
        tool: Annotated[str, Field(min_length=1, max_length=128, description="The tool's name.")],
        context: Context,
        arguments: Annotated[dict[str, Any] | None, Field(description="Its arguments.")] = None,
    ) -> ToolResult:
        """Call a tool of another of this person's machines, if that machine lets this one."""
        known = registry.find(instance).instance

        async def progress(done: float, total: float | None, message: str | None) -> None:
            await context.report_progress(done, total, message)

        outcome = await outbound.call(known.id, tool, arguments or {}, progress=progress)
        if isinstance(outcome, CallFailure):
            raise _error(outcome)
        answer = RemoteAnswer(
            instance_id=known.id,
            name=known.name,
            structured=dict(outcome.structured) if outcome.structured is not None else None,
            text=outcome.content,
            milliseconds=outcome.milliseconds,
        )
        return ToolResult(content=_said_by(known, outcome.content), structured_content=answer.model_dump())

    @server.tool(annotations=READS, output_schema=RemoteTools.model_json_schema())
    async def crow_list_instance_tools(instance: Annotated[str, INSTANCE]) -> ToolResult:
        """List the tools that another of this person's machines lets this one call."""
        known = registry.find(instance).instance
        found = await outbound.list_tools(known.id)
        if isinstance(found, CallFailure):
            raise _error(found)
        tools = [
            RemoteTool(name=tool.name, description=tool.description or "", input_schema=dict(tool.input_schema))
            for tool in found
        ]
        answer = RemoteTools(instance=known.name, items=tools)
        lines = "\n".join(
            f"{tool.name}: {tool.description.splitlines()[0] if tool.description else ''}" for tool in tools
        )
        return ToolResult(content=_said_by(known, lines or "none"), structured_content=answer.model_dump())


def _said_by(instance: Instance, text: str) -> str:
    return fenced(f"from {instance.name} {instance.id}", text)


def _error(failure: CallFailure) -> ToolError:
    """What the other instance itself said stands behind bars."""
    if failure.code in THEIR_WORDS:
        return ToolError(f"{failure.code}: {_said_by(failure.instance, failure.reason)}", log_level=logging.INFO)
    return ToolError(f"{failure.code}: {failure.instance.name}: {failure.reason}", log_level=logging.INFO)


def _found(found: FederatedHits) -> str:
    hits = [
        fenced(f"{hit.kind} {hit.id} on {', '.join(hit.held_by)}", f"{hit.title}\n{hit.snippet}") for hit in found.items
    ]
    return "\n".join([*(hits or ["Nothing found."]), "", "Asked:", *map(_asked, found.instances)])


def _asked(report: InstanceReport) -> str:
    line = f"{report.name}: {report.status}, {plural(report.hits, 'hit')}, {report.milliseconds:.0f} ms"
    return f"{line}\n{fenced('why', report.reason)}" if report.reason else line

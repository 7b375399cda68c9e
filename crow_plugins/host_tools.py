"""The host's own tools: which plugins there are, and one search over every kind of row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_plugins.everything import Hits, readable, search_everything

if TYPE_CHECKING:
    from crow_plugins.host import Host

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class PluginState(BaseModel):
    """A plugin of this installation."""

    name: str
    enabled: bool
    requires: list[str]


class Plugins(BaseModel):
    """The plugins of this installation, in the order in which they start."""

    plugins: list[PluginState]


def host_tools(host: Host) -> FastMCP:
    server = FastMCP("crow-host", mask_error_details=True)

    @server.tool(annotations=READ_ONLY)
    def crow_list_plugins() -> Plugins:
        """List the plugins of this instance and which of them are on."""
        return Plugins(
            plugins=[
                PluginState(name=plugin.name, enabled=host.is_enabled(plugin.name), requires=list(plugin.requires))
                for plugin in host.manifest.plugins
            ]
        )

    @server.tool(annotations=READ_ONLY, output_schema=Hits.model_json_schema())
    def crow_search(
        query: Annotated[str, Field(min_length=1, max_length=10_000, description="What to look for, in plain words.")],
        kinds: Annotated[list[str] | None, Field(description="Only these kinds of rows; all when left out.")] = None,
        limit: Annotated[int, Field(ge=1, le=100, description="How many rows at the most.")] = 10,
    ) -> ToolResult:
        """Search everything this instance keeps, of every kind, best matches first."""
        found = search_everything(host, query, kinds, limit)
        return ToolResult(content=readable(found), structured_content=found.model_dump())

    return server

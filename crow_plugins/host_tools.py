"""The host's own tools: which plugins there are, and one search over every kind of row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from crow_hooks import Invalid, SearchHit, SearchKind
from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_plugins.manifest import nearest

if TYPE_CHECKING:
    from crow_plugins.host import Host

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
RANK_OFFSET = 60  # of reciprocal-rank fusion: how little the first place of one kind outweighs its second


class PluginState(BaseModel):
    """A plugin of this installation."""

    name: str
    enabled: bool
    requires: list[str]


class Plugins(BaseModel):
    """The plugins of this installation, in the order in which they start."""

    plugins: list[PluginState]


class Hit(BaseModel):
    """One row that matched; `snippet` marks the matched words."""

    kind: str
    id: str
    title: str
    snippet: str
    updated_at: int
    origin_instance: str
    lamport_ts: int


class Hits(BaseModel):
    """What a search over all kinds found, best first."""

    items: list[Hit]
    kinds: list[str]


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


def search_everything(host: Host, query: str, kinds: list[str] | None, limit: int) -> Hits:
    """Search the kinds that are on; scores of different kinds are not comparable, so ranks are fused."""
    found = {
        kind.name: kind for plugin, kind in host.contributions("register_search", SearchKind) if host.is_enabled(plugin)
    }
    for name in kinds or []:
        if name not in found:
            raise Invalid(f"there is no kind {name} to search{nearest(name, found)}")
    chosen = [kind for name, kind in found.items() if kinds is None or name in kinds]
    with host.read() as db:
        ranked = [kind.find(db, query, limit) for kind in chosen]
    return Hits(items=[_hit(hit) for hit in fused(ranked)[:limit]], kinds=[kind.name for kind in chosen])


def fused(ranked: list[list[SearchHit]]) -> list[SearchHit]:
    """Reciprocal-rank fusion; ties go to the newer row, then to the smaller id."""
    scored = [(1 / (RANK_OFFSET + rank), hit) for hits in ranked for rank, hit in enumerate(hits)]
    return [hit for _, hit in sorted(scored, key=lambda pair: (-pair[0], -pair[1].updated_at, pair[1].id))]


def readable(found: Hits) -> str:
    if not found.items:
        return "Nothing found."
    return "\n".join(
        f"[{hit.kind} {hit.id} from {hit.origin_instance}] {hit.title}\n  {hit.snippet}" for hit in found.items
    )


def _hit(hit: SearchHit) -> Hit:
    return Hit(**{name: getattr(hit, name) for name in Hit.model_fields})

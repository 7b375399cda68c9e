"""The tools about summaries. What other instances say of themselves is data: cleaned, fenced, with its origin."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_hooks import Crow, Instance, InstanceRegistry, Invalid
from crow_plugins.rows import fenced
from crow_plugins.summaries.cache import Cache, Kept
from crow_plugins.summaries.kinds import HEALTH, Kinds
from crow_plugins.summaries.refreshing import Answer, Item, Refreshing
from crow_plugins.summaries.suggesting import Suggesting

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ASKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
INSTANCE = Field(max_length=64, description="Its name, its id, or a beginning of either; all when left out.")
KINDS = Field(max_length=50, description="Only these kinds; all when left out.")


class InstanceSummary(BaseModel):
    """What one instance said of itself; `state` is fresh, stale, failed or never_fetched."""

    instance_id: str
    name: str
    kind: str
    state: str
    value: Any
    fetched_at: int | None
    age_seconds: int | None
    stale: bool
    error: str | None


class InstanceSummaries(BaseModel):
    """Summaries by instance and kind."""

    items: list[InstanceSummary]


class Suggestion(BaseModel):
    """How well an instance can answer; 0 is not at all."""

    instance_id: str
    name: str
    score: float
    reason: str


class Suggestions(BaseModel):
    """Instances, best first."""

    items: list[Suggestion]


class Shown:
    """Summaries as tools show them: with what was never asked, and with what the registry's probes say now."""

    def __init__(self, crow: Crow, registry: InstanceRegistry, cache: Cache, kinds: Kinds) -> None:
        self._crow, self._registry, self._cache, self._kinds = crow, registry, cache, kinds

    def summaries(self, named: str | None, only: list[str] | None) -> InstanceSummaries:
        instances = self._cache.instances() if named is None else [self._registry.find(named).instance]
        rows, names = self._cache.rows(), list(self._kinds.all())
        for kind in only or []:
            if kind not in names:
                raise Invalid(f"there is no such kind of summary; there are {', '.join(names)}")
        chosen = names if only is None else only
        return InstanceSummaries(
            items=[self._one(each, kind, rows.get((each.id, kind))) for each in instances for kind in chosen]
        )

    def _one(self, instance: Instance, kind: str, kept: Kept | None) -> InstanceSummary:
        now = self._crow.now()
        fetched_at = None if kept is None else kept.fetched_at
        return InstanceSummary(
            instance_id=instance.id,
            name=instance.name,
            kind=kind,
            state="never_fetched" if kept is None else kept.state(now),
            value=self._value(instance, kind, None if kept is None else kept.value),
            fetched_at=fetched_at,
            age_seconds=None if fetched_at is None else max(0, now - fetched_at),
            stale=kept is None or kept.stale(now),
            error=None if kept is None else kept.error,
        )

    def _value(self, instance: Instance, kind: str, value: Any) -> Any:
        if kind != HEALTH:
            return value
        known = next(each for each in self._registry.others() if each.instance.id == instance.id)
        return {**(value or {}), "status": known.status, "last_seen": known.last_seen}


def summary_tools(
    crow: Crow, registry: InstanceRegistry, cache: Cache, local: Kinds, refreshing: Refreshing, suggesting: Suggesting
) -> FastMCP:
    server = FastMCP("crow-summaries", mask_error_details=True)
    shown = Shown(crow, registry, cache, local)

    @server.tool(annotations=READS, output_schema=InstanceSummaries.model_json_schema())
    def crow_instance_summaries(
        instance: Annotated[str | None, INSTANCE] = None, kinds: Annotated[list[str] | None, KINDS] = None
    ) -> ToolResult:
        """Show what the person's other machines last said of themselves, and how long ago."""
        found = shown.summaries(instance, kinds)
        return ToolResult(content=_readable(found), structured_content=found.model_dump())

    @server.tool(annotations=ASKS, output_schema=InstanceSummaries.model_json_schema())
    async def crow_refresh_summaries(instance: Annotated[str | None, INSTANCE] = None) -> ToolResult:
        """Ask the person's other machines now what they keep, and show what they say."""
        await refreshing.refresh(None if instance is None else registry.find(instance).instance.id)
        found = await asyncio.to_thread(shown.summaries, instance, None)
        return ToolResult(content=_readable(found), structured_content=found.model_dump())

    @server.tool(annotations=READS)
    def crow_suggest_instances(
        query: Annotated[str, Field(min_length=1, max_length=10_000, description="What is looked for.")],
    ) -> Suggestions:
        """Say which of the person's machines to ask about something, best first, and why."""
        ranked = suggesting(query, cache.instances())
        return Suggestions(
            items=[Suggestion(instance_id=who.id, name=who.name, score=score, reason=why) for who, score, why in ranked]
        )

    @server.tool(annotations=READS)
    def crow_local_summary(
        kinds: Annotated[list[str] | None, KINDS] = None,
        known: Annotated[
            dict[str, str] | None, Field(max_length=50, description="Etags by kind: what is still so has no value.")
        ] = None,
    ) -> Answer:
        """Say in a few lines what this machine keeps and how it is."""
        told = local.told(kinds)
        etags = known or {}
        items = [
            Item(kind=each.kind, etag=each.etag, unchanged=True)
            if etags.get(each.kind) == each.etag
            else Item(kind=each.kind, etag=each.etag, value=each.value)
            for each in told
        ]
        return Answer(now=crow.now(), items=items)

    return server


def _readable(found: InstanceSummaries) -> str:
    lines = []
    for each in found.items:
        age = "" if each.age_seconds is None else f", {each.age_seconds} s ago"
        trouble = f" ({each.error})" if each.error else ""
        said = f"{each.state}{age}{trouble}"
        lines.append(fenced(f"{each.kind} from {each.name} {each.instance_id}", f"{said}\n{each.value}"))
    return "\n".join(lines) or "No other instance is known."

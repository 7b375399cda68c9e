"""The replicator's MCP tools: how far the instances are with each other, and conflicts listed, shown and settled.

What the other side of a conflict says came from another machine: it is data, and stands fenced with its origin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_hooks import FeedStatus, InstanceRegistry, Replication, Resolution
from crow_plugins.replicator.conflicts import ConflictRecord, Conflicts, OpenSides
from crow_plugins.wording import duration

WAIT_SECONDS_MAX = 120.0

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
SYNCS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
SETTLES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)

INSTANCE = Field(max_length=64, description="Its id or name; all when left out.")
CONFLICT_ID = Field(min_length=1, max_length=64, description="The conflict's id, a UUID.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer.")


class FeedAnswer(BaseModel):
    """How far one instance's feed is known here, in entries: signed by its writer, held here, applied here.

    `conflicts` are the open ones whose other version it wrote. While it is behind: entries applied a second and the
    seconds left at that. `confirmed` is how much of our own feed it holds, `lag_seconds` how long that took last.
    """

    instance_id: str
    name: str
    own: bool
    length: int
    held: int
    applied: int
    behind: int
    parked: int
    rejected: int
    conflicts: int
    last_sync: int | None
    connected: bool
    frozen: bool
    rate: float | None
    seconds_left: float | None
    confirmed: int | None
    lag_seconds: float | None


class SyncAnswer(BaseModel):
    """Every feed, our own first.

    `suspect` says why this instance may not append now, `failing` why it can apply nothing, and what to do.
    """

    feeds: list[FeedAnswer]
    open_conflicts: int
    suspect: str | None
    failing: str | None


class ProgressAnswer(BaseModel):
    """What came of waiting; `missing` are the names of the instances that were not reached."""

    complete: bool
    remaining: int
    seconds: float
    missing: list[str]


class ConflictAnswer(BaseModel):
    """Two versions of one row of which neither knew the other; `local` is the one shown here."""

    id: str
    table: str
    row_id: str
    op: str
    fields: list[str]
    local: dict[str, Any]
    remote: dict[str, Any]
    local_lamport: int
    remote_lamport: int
    remote_instance_id: str
    created_at: int
    resolution: str | None
    resolved_at: int | None
    resolved_by: str | None
    base: dict[str, Any] | None = None
    local_instance_id: str | None = None
    deleted_by: Literal["local", "remote"] | None = None


class ConflictList(BaseModel):
    """Some conflicts; pass `next_cursor` as `cursor` for the next ones."""

    items: list[ConflictAnswer]
    next_cursor: str | None
    total: int


def replicator_tools(
    own_id: str, replication: Replication, registry: InstanceRegistry, conflicts: Conflicts
) -> FastMCP:
    server = FastMCP("crow-replicator", mask_error_details=True)
    _add_sync(server, own_id, replication, registry, conflicts)
    _add_conflicts(server, conflicts, partial(_id_of, own_id=own_id, registry=registry))
    _add_resources(server, conflicts)
    return server


def sync_answer(own_id: str, replication: Replication, conflicts: Conflicts, only: str | None = None) -> SyncAnswer:
    pending = conflicts.open_by_instance()
    feeds = [
        _feed(own_id, feed, pending.get(feed.instance.id, 0))
        for feed in replication.status()
        if only in (None, feed.instance.id)
    ]
    return SyncAnswer(
        feeds=feeds,
        open_conflicts=sum(pending.values()),
        suspect=replication.suspect(),
        failing=replication.failing(),
    )


def _add_sync(
    server: FastMCP, own_id: str, replication: Replication, registry: InstanceRegistry, conflicts: Conflicts
) -> None:
    @server.tool(annotations=READS, output_schema=SyncAnswer.model_json_schema())
    def crow_sync_status(instance: Annotated[str | None, INSTANCE] = None) -> ToolResult:
        """How far this machine and the others are with each other's changes."""
        answer = sync_answer(own_id, replication, conflicts, _id_of(instance, own_id, registry))
        return ToolResult(content=status_text(answer), structured_content=answer.model_dump())

    @server.tool(annotations=SYNCS)
    async def crow_sync_now(
        instance: Annotated[str | None, INSTANCE] = None,
        wait_seconds: Annotated[float, Field(ge=0, le=WAIT_SECONDS_MAX, description="How long to wait for it.")] = 10.0,
    ) -> ProgressAnswer:
        """Connect to the other machines now, and wait until their changes are here."""
        progress = await replication.sync_now(_id_of(instance, own_id, registry), wait_seconds)
        return ProgressAnswer(**{**asdict(progress), "missing": list(progress.missing)})


def _add_conflicts(server: FastMCP, conflicts: Conflicts, id_of: Callable[[str | None], str | None]) -> None:
    @server.tool(annotations=READS, output_schema=ConflictList.model_json_schema())
    def crow_list_conflicts(
        table: Annotated[str | None, Field(max_length=64, description="Only of this table.")] = None,
        instance: Annotated[
            str | None, Field(max_length=64, description="Only where this one, by id or name, wrote the other version.")
        ] = None,
        unresolved_only: Annotated[bool, Field(description="False lists settled ones too.")] = True,
        limit: Annotated[int, LIMIT] = 20,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """Rows that were changed on two machines without their knowing of each other, the newest first."""
        page = conflicts.list(
            table=table, instance_id=id_of(instance), unresolved_only=unresolved_only, limit=limit, cursor=cursor
        )
        items = [conflict_answer(record) for record in page.items]
        answer = ConflictList(items=items, next_cursor=page.next_cursor, total=page.total)
        lines = "\n".join(_line(item) for item in items) or "None."
        return ToolResult(content=f"{page.total} in all.\n{lines}", structured_content=answer.model_dump())

    @server.tool(annotations=READS, output_schema=ConflictAnswer.model_json_schema())
    def crow_get_conflict(conflict_id: Annotated[str, CONFLICT_ID]) -> ToolResult:
        """One conflict with both versions in full, and what both go back to."""
        return _one(conflicts.get(conflict_id), conflicts.sides(conflict_id))

    @server.tool(annotations=SETTLES, output_schema=ConflictAnswer.model_json_schema())
    def crow_resolve_conflict(
        conflict_id: Annotated[str, CONFLICT_ID],
        resolution: Annotated[
            Literal["local", "remote", "merge"],
            Field(description="Keep the version shown here, take the other one, or merge with merged_data."),
        ],
        merged_data: Annotated[
            dict[str, Any] | None, Field(description="For a merge: only the fields that differ from the local version.")
        ] = None,
    ) -> ToolResult:
        """Settle a conflict on every machine. Ask the person which version is right unless it is plain."""
        settled = conflicts.resolve(conflict_id, Resolution(resolution, merged_data), by="assistant")
        return _one(settled, None)


def _add_resources(server: FastMCP, conflicts: Conflicts) -> None:
    @server.resource("crow://conflicts", mime_type="application/json")
    def open_conflicts() -> str:
        """The conflicts that are open, as JSON."""
        page = conflicts.list(limit=100)
        items = [conflict_answer(record).model_dump() for record in page.items]
        return json.dumps({"items": items, "total": page.total}, ensure_ascii=False)

    @server.prompt
    def review_conflicts() -> str:
        """Go through the open conflicts with me."""
        return (
            "List my open conflicts with crow_list_conflicts. For each, read both versions with crow_get_conflict, "
            "tell me in a sentence how they differ, propose local, remote or a merge, and settle it with "
            "crow_resolve_conflict once I have agreed."
        )


def conflict_answer(record: ConflictRecord, sides: OpenSides | None = None) -> ConflictAnswer:
    """`sides` says more of one that is open."""
    return ConflictAnswer(
        **{name: value for name, value in asdict(record).items() if name not in ("local", "remote")},
        fields=record.fields,
        local=dict(record.local),
        remote=dict(record.remote),
        base=dict(sides.base) if sides is not None and sides.base is not None else None,
        local_instance_id=sides.local_instance_id if sides is not None else None,
        deleted_by=sides.deleted_by if sides is not None else None,
    )


def status_text(answer: SyncAnswer) -> str:
    own = next((feed.length for feed in answer.feeds if feed.own), None)
    lines = [_feed_line(feed, own) for feed in answer.feeds]
    if answer.suspect:
        lines.insert(0, f"This instance does not append to its feed now: {answer.suspect}")
    if answer.failing:
        lines.insert(0, f"Nothing can be taken in: {answer.failing}")
    if answer.open_conflicts:
        lines.append(f"{answer.open_conflicts} open conflicts; list them with crow_list_conflicts.")
    return "\n".join(lines) or "This instance knows no other yet."


def _feed_line(feed: FeedAnswer, own_length: int | None) -> str:
    if feed.own:
        return f"{feed.name} (this machine): {feed.length} entries"
    parts = [f"{feed.name}: {feed.applied} of {feed.length} entries applied"]
    if feed.rate and feed.seconds_left is not None:
        parts.append(f"{feed.rate:.0f} a second, about {duration(feed.seconds_left)} left")
    parts.append("connected" if feed.connected else "not connected")
    if own_length is not None and feed.confirmed is not None and feed.confirmed < own_length:
        parts.append(f"lacks {own_length - feed.confirmed} of ours")
    if feed.connected and feed.lag_seconds is not None:
        parts.append(f"has what is written here after {duration(feed.lag_seconds)}")
    parts += [f"{count} {what}" for count, what in ((feed.parked, "parked"), (feed.rejected, "rejected")) if count]
    return ", ".join([*parts, *(["frozen"] if feed.frozen else [])])


def _feed(own_id: str, feed: FeedStatus, conflicts: int) -> FeedAnswer:
    return FeedAnswer(
        instance_id=feed.instance.id,
        name=feed.instance.name,
        own=feed.instance.id == own_id,
        length=feed.length,
        held=feed.held,
        applied=feed.applied,
        behind=max(0, feed.length - feed.applied),
        parked=feed.parked,
        rejected=feed.rejected,
        conflicts=conflicts,
        last_sync=feed.last_sync,
        connected=feed.connected,
        frozen=feed.frozen,
        rate=feed.rate,
        seconds_left=feed.seconds_left,
        confirmed=feed.confirmed,
        lag_seconds=feed.lag_seconds,
    )


def _id_of(named: str | None, own_id: str, registry: InstanceRegistry) -> str | None:
    if named is None or named == own_id:
        return named
    return registry.find(named).instance.id


def _one(record: ConflictRecord, sides: OpenSides | None) -> ToolResult:
    answer = conflict_answer(record, sides)
    parts = [
        _line(answer),
        _fenced("local", answer.local, answer.fields),
        _fenced("remote", answer.remote, answer.fields),
    ]
    if answer.base is not None:
        parts.append(_fenced("base", answer.base, answer.fields))
    return ToolResult(content="\n".join(parts), structured_content=answer.model_dump())


def _line(conflict: ConflictAnswer) -> str:
    state = f"settled: {conflict.resolution}" if conflict.resolution else "open"
    what = "one side deleted the row" if conflict.op == "delete" else f"differs in {', '.join(conflict.fields)}"
    return (
        f"[conflict {conflict.id} {state}] {conflict.table} {conflict.row_id}: {what}; "
        f"the other version is from {conflict.remote_instance_id}"
    )


def _fenced(side: str, data: dict[str, Any], fields: list[str]) -> str:
    """The fields that differ; what stands behind the bar is data."""
    lines = [f"{name}: {json.dumps(data.get(name), ensure_ascii=False)}" for name in fields]
    return f"{side}:\n" + "\n".join(f"| {line}" for line in lines)

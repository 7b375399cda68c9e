"""A plugin that contributes one of everything, remembers its calls, and fails where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Literal

from fastmcp import FastMCP
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from crow_hooks import (
    Change,
    Check,
    Column,
    Command,
    Conflict,
    Crow,
    Data,
    Entry,
    Finding,
    Format,
    Job,
    NestPage,
    Resolution,
    SearchHit,
    SearchKind,
    ServiceKey,
    Summary,
    SyncedTable,
    Tables,
    Transaction,
    hookimpl,
)

CALLS: ServiceKey[list[str]] = ServiceKey("probe-calls")


class Settings(BaseModel):
    """Where to fail, and where never to come back from."""

    raises: str = ""
    hangs: str = ""
    nonsense: str = ""
    policy: Literal["", "local", "remote", "merge"] = ""


def _calls(crow: Crow, name: str) -> Settings:
    crow.service(CALLS).append(name)
    settings = crow.settings(Settings)
    if settings.raises == name:
        raise RuntimeError(f"{name} was told to fail")
    return settings


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(CALLS, [])
    _calls(crow, "setup")


@hookimpl
def register_settings(crow: Crow) -> type[BaseModel]:
    return Settings


@hookimpl
def register_tables(crow: Crow) -> Tables:
    _calls(crow, "register_tables")
    return Tables(
        migrations=("CREATE TABLE beads (id TEXT PRIMARY KEY, colour TEXT NOT NULL, lamport_ts INTEGER DEFAULT 0)",)
    )


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [SyncedTable("beads", (Column("colour", bytes_max=20),), ("bead_insert", "bead_update", "bead_delete"))]


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    server = FastMCP("probe")

    @server.tool
    def thread_bead(id: str, colour: str) -> str:
        """Put a bead on the string."""
        with crow.transaction() as transaction:
            transaction.db.execute_sql("INSERT INTO beads (id, colour) VALUES (?, ?)", (id, colour))
            transaction.record("bead_insert", "beads", id)
        return id

    return server


@hookimpl
def register_routes(crow: Crow) -> Sequence[BaseRoute]:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("beads")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("beads")
        await websocket.close()

    return [Route("/beads", page), WebSocketRoute("/beads/live", socket)]


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind] | object:
    if _calls(crow, "register_search").nonsense == "register_search":
        return "beads"

    def find(db: object, query: str, limit: int) -> list[SearchHit]:
        return [SearchHit("bead", "1", "a red bead", "red", 1.0, 0, crow.instance.id, 1)]

    return [SearchKind("bead", find)]


@hookimpl
def register_summary(crow: Crow) -> Sequence[Summary]:
    return [Summary("beads", lambda db: {"count": 1})]


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    async def count() -> None:
        _calls(crow, "job")

    return [Job("count", count, every_seconds=3600)]


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    def bead(colour: str) -> object:
        """Say a colour."""
        return {"colour": colour, "instance": crow.instance.name}

    return [Command("bead", bead), Command("show", bead, group="beads")]


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    def write() -> list[Data]:
        return [{"kind": "bead", "colour": "red"}]

    return [Format("beads", ("bead",), lambda: iter(write()), lambda records, dry_run: iter(None for _ in records))]


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    def run() -> Finding:
        _calls(crow, "check")
        return Finding(True, "all beads are there")

    return [Check("beads", run)]


@hookimpl
def register_nest_pages(crow: Crow) -> Sequence[NestPage]:
    return [NestPage("/beads", "Beads", "beads.html", Path(__file__).parent)]


@hookimpl
def startup(crow: Crow) -> Awaitable[None]:
    settings = _calls(crow, "startup")

    async def start() -> None:
        if settings.hangs == "startup":
            await asyncio.Event().wait()

    return start()


@hookimpl
async def shutdown(crow: Crow) -> None:
    if _calls(crow, "shutdown").hangs == "shutdown":
        await asyncio.Event().wait()


@hookimpl
def on_local_write(crow: Crow, change: Change, transaction: Transaction) -> None:
    _calls(crow, "on_local_write")


@hookimpl
def on_remote_change(crow: Crow, entry: Entry, transaction: Transaction) -> bool | None:
    _calls(crow, "on_remote_change")
    return None


@hookimpl
def on_conflict(crow: Crow, conflict: Conflict, transaction: Transaction) -> Resolution | object | None:
    settings = _calls(crow, "on_conflict")
    if settings.nonsense == "on_conflict":
        return "both"
    if settings.policy == "merge":
        return Resolution("merge", {"colour": "violet"})
    return Resolution(settings.policy) if settings.policy else None


@hookimpl
async def change_applied(crow: Crow, entry: Entry) -> None:
    if _calls(crow, "change_applied").hangs == "change_applied":
        await asyncio.Event().wait()

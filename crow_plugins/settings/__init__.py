"""Settings: what this person wants, on all machines or on this one only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Change, Crow, Entry, Format, SearchKind, SyncedTable, Tables, hookimpl
from crow_plugins.settings import schema
from crow_plugins.settings.interchange import setting_format
from crow_plugins.settings.search import search_kind
from crow_plugins.settings.setting import SYNCED, check_row
from crow_plugins.settings.settings import Settings

if TYPE_CHECKING:
    from fastmcp import FastMCP


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=schema.MIGRATIONS)


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [SYNCED]


@hookimpl
def on_local_write(crow: Crow, change: Change) -> None:
    """However it came about, the settlement of a conflict included."""
    if change.table == SYNCED.name:
        check_row(change.data)


@hookimpl
def on_remote_change(crow: Crow, entry: Entry) -> None:
    check_row(entry.data)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.settings.tools import setting_tools  # FastMCP is imported when it is served only

    return setting_tools(Settings(crow))


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind]:
    return [search_kind()]


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    return [setting_format(crow)]

"""Memories: what an assistant was told and should still know tomorrow, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Check, Command, Crow, Format, Job, SearchKind, Summary, SyncedTable, Tables, hookimpl
from crow_plugins.fulltext import index_check, index_jobs, search_kind, title_of
from crow_plugins.memories.commands import commands
from crow_plugins.memories.graph import graph
from crow_plugins.memories.memories import Memories
from crow_plugins.memories.memory import MEMORY
from crow_plugins.memories.schema import INDEX, MIGRATIONS
from crow_plugins.memories.summary import categories
from crow_plugins.rows import rows_format

if TYPE_CHECKING:
    from fastmcp import FastMCP


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=MIGRATIONS)


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [MEMORY.synced]


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.memories.tools import memory_tools  # FastMCP is imported when it is served only

    return memory_tools(Memories(crow))


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind]:
    return [search_kind(crow, "memory", INDEX, lambda memory: title_of(memory.content))]


@hookimpl
def register_summary(crow: Crow) -> Sequence[Summary]:
    return [categories()]


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    return commands(Memories(crow))


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    return [rows_format(crow, MEMORY), graph(crow)]


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    return [index_check(crow, INDEX)]


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    return index_jobs(crow, INDEX)

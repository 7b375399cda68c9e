"""The blog: posts on every machine, and pages of the published ones where an operator says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Change, Check, Crow, Entry, Format, Job, SearchKind, SyncedTable, Tables, hookimpl
from crow_plugins.blog.post import POST, check_row
from crow_plugins.blog.posts import Posts
from crow_plugins.blog.schema import INDEX, MIGRATIONS
from crow_plugins.blog.settings import BlogSettings
from crow_plugins.fulltext import index_check, index_jobs, search_kind
from crow_plugins.rows import rows_format

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from starlette.routing import BaseRoute


@hookimpl
def register_settings(crow: Crow) -> type[BlogSettings]:
    return BlogSettings


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=MIGRATIONS)


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [POST.synced]


@hookimpl
def on_local_write(crow: Crow, change: Change) -> None:
    """However it came about, the settlement of a conflict included."""
    if change.table == POST.table:
        check_row(change.data)


@hookimpl
def on_remote_change(crow: Crow, entry: Entry) -> None:
    check_row(entry.data)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.blog.tools import post_tools  # FastMCP is imported when it is served only

    return post_tools(Posts(crow))


@hookimpl
def register_routes(crow: Crow) -> Sequence[BaseRoute]:
    from crow_plugins.blog.pages import routes  # templates are of use to a gateway only

    return routes(crow, crow.settings(BlogSettings))


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind]:
    return [search_kind(crow, "post", INDEX, lambda post: post.title)]


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    return [rows_format(crow, POST)]


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    return [index_check(crow, INDEX, "posts index")]


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    return index_jobs(crow, INDEX)

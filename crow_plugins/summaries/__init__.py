"""Summaries: what other instances say of themselves in a few lines, kept here so that they need not all be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import FEDERATION, REGISTRY, SUMMARIES, Crow, Job, ServiceKey, Tables, hookimpl
from crow_plugins.summaries.cache import Cache
from crow_plugins.summaries.kinds import Kinds
from crow_plugins.summaries.refreshing import Refreshing
from crow_plugins.summaries.schema import MIGRATIONS
from crow_plugins.summaries.suggesting import Suggesting

if TYPE_CHECKING:
    from fastmcp import FastMCP

REFRESHING: ServiceKey[Refreshing] = ServiceKey("refreshing of summaries")
CACHE: ServiceKey[Cache] = ServiceKey("kept summaries")


@hookimpl
def setup(crow: Crow) -> None:
    federation, cache = crow.service(FEDERATION), Cache(crow, crow.service(REGISTRY))
    refreshing = Refreshing(crow, cache, Kinds(crow), federation)
    crow.provide(CACHE, cache)
    crow.provide(REFRESHING, refreshing)
    crow.provide(SUMMARIES, refreshing)


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=MIGRATIONS)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.summaries.tools import summary_tools  # FastMCP is imported when it is served only

    cache = crow.service(CACHE)
    return summary_tools(
        crow, crow.service(REGISTRY), cache, Kinds(crow), crow.service(REFRESHING), Suggesting(crow, cache)
    )


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    return crow.service(REFRESHING).jobs()


@hookimpl
def startup(crow: Crow) -> None:
    crow.service(FEDERATION).use_ranking(Suggesting(crow, crow.service(CACHE)))


@hookimpl
async def shutdown(crow: Crow) -> None:
    crow.service(FEDERATION).use_ranking(lambda query, instances: [])
    await crow.service(REFRESHING).close()

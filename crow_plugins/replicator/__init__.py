"""The replicator: what is written on one instance is on all of them, in the end and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import (
    CONFLICTS,
    REGISTRY,
    REPLICATION,
    Change,
    Check,
    Command,
    Crow,
    ServiceKey,
    SyncedTable,
    Tables,
    Transaction,
    hookimpl,
)
from crow_plugins.premises import PREMISES
from crow_plugins.replicator import schema
from crow_plugins.replicator.checks import checks
from crow_plugins.replicator.conflicts import Conflicts
from crow_plugins.replicator.sync import InstanceSyncManager

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from starlette.routing import BaseRoute

SYNC: ServiceKey[InstanceSyncManager] = ServiceKey("sync")


@hookimpl
def setup(crow: Crow) -> None:
    premises = crow.service(PREMISES)
    sync = InstanceSyncManager(crow, premises, crow.service(REGISTRY))
    premises.when_open(lambda: sync.look_back() if premises.is_enabled("replicator") else None)
    premises.when_told_to_stop(sync.dial_nobody)
    crow.provide(SYNC, sync)
    crow.provide(REPLICATION, sync)
    crow.provide(CONFLICTS, _conflicts(crow))


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=schema.MIGRATIONS)


@hookimpl
def on_local_write(crow: Crow, change: Change, transaction: Transaction) -> None:
    crow.service(SYNC).local_write(change, transaction)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.replicator.tools import replicator_tools  # FastMCP is imported when it is served only

    return replicator_tools(crow.instance.id, crow.service(SYNC), crow.service(REGISTRY), _conflicts(crow))


@hookimpl
def register_routes(crow: Crow) -> Sequence[BaseRoute]:
    from crow_plugins.replicator.routes import routes

    return routes(crow.service(SYNC))


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    from crow_plugins.replicator.commands import commands
    from crow_plugins.replicator.feed_commands import feed_commands

    sync, keyring = crow.service(SYNC), crow.service(PREMISES).keyring
    return [*commands(crow.instance.id, sync, _conflicts(crow)), *feed_commands(crow, sync.own, keyring)]


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    sync = crow.service(SYNC)
    return checks(crow, sync.own, sync.failing)


@hookimpl
async def startup(crow: Crow) -> None:
    sync = crow.service(SYNC)
    await sync.start(lease=sync.lease())


@hookimpl
async def shutdown(crow: Crow) -> None:
    await crow.service(SYNC).stop()


def _conflicts(crow: Crow) -> Conflicts:
    premises = crow.service(PREMISES)
    return Conflicts(
        crow, lambda: [table.name for _, table in premises.contributions("register_synced_tables", SyncedTable)]
    )

"""Federation: tools of one instance called by another, without any data travelling to stay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import (
    AUDIT_LOG,
    EXPOSURE,
    FEDERATION,
    REGISTRY,
    Check,
    Command,
    Crow,
    Data,
    ServiceKey,
    Tables,
    hookimpl,
)
from crow_plugins.federation import schema
from crow_plugins.federation.audit import AUDIT, Audit
from crow_plugins.federation.checks import checks
from crow_plugins.federation.commands import commands
from crow_plugins.federation.inbound import INBOUND, inbound_of
from crow_plugins.federation.outbound import Outbound
from crow_plugins.federation.settings import Settings
from crow_plugins.premises import PREMISES

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from fastmcp.server.middleware import Middleware as MCPMiddleware
    from starlette.middleware import Middleware


OUTBOUND: ServiceKey[Outbound] = ServiceKey("outbound calls")


@hookimpl
def setup(crow: Crow) -> None:
    premises = crow.service(PREMISES)
    audit = Audit(premises.home.folder / "audit.db")
    crow.provide(AUDIT, audit)
    crow.provide(AUDIT_LOG, audit)
    registry = crow.service(REGISTRY)
    inbound = inbound_of(crow, registry, premises, audit, crow.settings(Settings))
    crow.provide(INBOUND, inbound)
    crow.provide(EXPOSURE, inbound.exposure)
    identity = premises.keyring.identity
    keys = bytes.fromhex(identity.instance_key), bytes.fromhex(identity.chain)
    outbound = Outbound(crow, registry, *keys, audit)
    crow.provide(OUTBOUND, outbound)
    crow.provide(FEDERATION, outbound)


@hookimpl
def register_settings(crow: Crow) -> type[Settings]:
    return Settings


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=schema.MIGRATIONS)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.federation.searching import FederatedSearch
    from crow_plugins.federation.tools import federation_tools

    premises, registry, outbound = crow.service(PREMISES), crow.service(REGISTRY), crow.service(OUTBOUND)

    async def local(arguments: Data) -> object:
        return (await premises.server.call_tool("crow_search", dict(arguments))).structured_content

    return federation_tools(registry, outbound, FederatedSearch(crow, registry, outbound, local))


@hookimpl
def register_middleware(crow: Crow) -> Sequence[Middleware | MCPMiddleware]:
    from crow_plugins.federation.serving import ServedCalls, door  # FastMCP is imported when it is served only

    return [door(crow.service(INBOUND)), ServedCalls()]


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    inbound, premises = crow.service(INBOUND), crow.service(PREMISES)

    def tools() -> dict[str, bool]:
        from crow_plugins.federation.serving import reads  # FastMCP is imported for these commands only

        return {tool.name: reads(tool) for tool in asyncio.run(premises.server.list_tools())}

    return commands(inbound.exposure, inbound.audit, crow.service(REGISTRY), crow.settings(Settings).expose, tools)


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    return checks(crow.service(AUDIT))


@hookimpl
async def shutdown(crow: Crow) -> None:
    await crow.service(OUTBOUND).close()
    await asyncio.to_thread(crow.service(AUDIT).close)
    await crow.service(INBOUND).close()

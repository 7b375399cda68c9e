"""The registry: who is in this chain, how they come in, and how one of them is put out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import REGISTRY, Check, Command, Crow, Job, ServiceKey, Tables, hookimpl
from crow_plugins.joining import INTRODUCTIONS
from crow_plugins.premises import PREMISES
from crow_plugins.registry import invitation_schema, schema
from crow_plugins.registry.checks import checks
from crow_plugins.registry.health import Health
from crow_plugins.registry.invitations import Invitations
from crow_plugins.registry.joining_rows import Arrivals
from crow_plugins.registry.probing import Prober
from crow_plugins.registry.registering import Registering
from crow_plugins.registry.registry import Registry
from crow_plugins.registry.revoking import revocation_checks, revocation_jobs
from crow_plugins.registry.settings import RegistrySettings
from crow_plugins.running import ADDRESS_NAMES

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from pydantic import BaseModel
    from starlette.routing import BaseRoute

OWN: ServiceKey[Registry] = ServiceKey("own registry")
REGISTERING: ServiceKey[Registering] = ServiceKey("registering")


@hookimpl
def setup(crow: Crow) -> None:
    premises = crow.service(PREMISES)
    registry = Registry(crow, premises)
    crow.provide(REGISTRY, registry)
    crow.provide(OWN, registry)
    crow.provide(ADDRESS_NAMES, registry.address_names)
    crow.provide(REGISTERING, Registering(crow, registry, Prober(premises.keyring)))
    crow.provide(INTRODUCTIONS, Arrivals(crow, registry, premises.keyring.identity))


@hookimpl
def register_settings(crow: Crow) -> type[BaseModel]:
    return RegistrySettings


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=(schema.MIGRATION + invitation_schema.MIGRATION,))


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.registry.tools import registry_tools  # FastMCP is imported when it is served only

    return registry_tools(crow.instance, crow.service(OWN), crow.service(REGISTERING))


@hookimpl
def register_routes(crow: Crow) -> Sequence[BaseRoute]:
    from crow_plugins.registry.joining_routes import join_routes
    from crow_plugins.registry.routes import WellKnown

    known = WellKnown(crow, crow.service(PREMISES).keyring, crow.service(REGISTERING))
    return [*known.routes(), *join_routes(Invitations(crow))]


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    seconds = crow.settings(RegistrySettings).probe_seconds
    registry = crow.service(OWN)
    return [
        *Health(registry, crow.service(REGISTERING)).jobs(seconds),
        *revocation_jobs(crow, registry, registry.chain),
    ]


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    from crow_plugins.registry.commands import commands
    from crow_plugins.registry.inviting_command import invite_command
    from crow_plugins.registry.revoking_command import revoke_command

    premises, registry = crow.service(PREMISES), crow.service(OWN)
    arrivals = Arrivals(crow, registry, premises.keyring.identity)
    return [
        *commands(crow.instance, lambda: premises.keyring, registry, crow.service(REGISTERING)),
        invite_command(crow, premises, arrivals, registry.own_url),
        revoke_command(crow, premises, registry),
    ]


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    registry = crow.service(OWN)
    return [*checks(registry), *revocation_checks(crow, registry, registry.chain)]


@hookimpl
async def startup(crow: Crow) -> None:
    premises = crow.service(PREMISES)
    arrivals = Arrivals(crow, crow.service(OWN), premises.keyring.identity)
    await asyncio.to_thread(arrivals.end_unfinished, premises.home)
    await crow.service(OWN).start()


@hookimpl
async def shutdown(crow: Crow) -> None:
    await crow.service(OWN).stop()

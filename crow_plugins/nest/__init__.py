"""The Nest: see in a browser that everything is in sync, and settle what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Command, Crow, Tables, hookimpl
from crow_plugins.nest import schema
from crow_plugins.premises import PREMISES

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=schema.MIGRATIONS)


@hookimpl
def register_routes(crow: Crow) -> Sequence[BaseRoute]:
    from crow_plugins.nest.pages import routes  # templates are of use to a gateway only

    return routes(crow, crow.service(PREMISES))


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    from crow_plugins.nest.commands import commands

    return commands(crow, crow.service(PREMISES))

"""`crow instances`: the machines of the chain, for a person; works with the gateway down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import Parameter

from crow_hooks import Answer, Command, Instance, Role
from crow_plugins.keyring import Keyring
from crow_plugins.registry.inviting_command import ATerminal
from crow_plugins.registry.registering import Registering
from crow_plugins.registry.registry import Registry
from crow_plugins.registry.tools import InstanceAnswer, answer, line, listed
from crow_plugins.wording import ago, columns


def commands(
    own: Instance, keyring: Callable[[], Keyring], registry: Registry, registering: Registering
) -> Sequence[Command]:
    return [
        Command("list", _list(own, registry), group="instances", about="The machines of this chain."),
        Command("register", _register(keyring, registering), group="instances"),
        Command("check", _check(keyring, registry, registering), group="instances"),
        Command("remove", _remove(registry), group="instances"),
    ]


def _list(own: Instance, registry: Registry) -> Callable[..., object]:
    def list_instances() -> object:
        """Show the instances of this chain, this one first."""
        found = listed(own, registry)
        return Answer([item.model_dump() for item in found.items], _table(found.items, int(time.time())))

    return list_instances


def _table(items: Sequence[InstanceAnswer], now: int) -> str:
    heads = ("name", "role", "status", "last seen", "address", "id")
    rows = [
        (
            item.name,
            item.role,
            "this machine" if item.own else "revoked" if item.revoked else item.status,
            "now" if item.own else ago(item.last_seen, now),
            item.gateway_url or "-",
            item.id,
        )
        for item in items
    ]
    alone = "\n\nNo other machine yet; add one with: crow invite" if len(items) == 1 else ""
    return columns(heads, rows) + alone


def _register(keyring: Callable[[], Keyring], registering: Registering) -> Callable[..., object]:
    def register(
        url: str,
        /,
        *,
        name: Annotated[str | None, Parameter(help="What to call it on this machine.")] = None,
        role: Annotated[Role | None, Parameter(help="What it is to this machine; else as it says.")] = None,
        terminal: ATerminal,
    ) -> object:
        """Register the instance at an address; it registers this one in turn.

        Parameters
        ----------
        url
            Where its gateway answers, as http://host:3001.
        """
        terminal.unlock(keyring())
        found = answer(asyncio.run(registering.register(url, name, role)))
        return Answer(found.model_dump(), f"Registered {line(found)}")

    return register


def _check(keyring: Callable[[], Keyring], registry: Registry, registering: Registering) -> Callable[..., object]:
    def check(instance: str, /, *, terminal: ATerminal) -> object:
        """Look now whether an instance can be reached, and is who it should be.

        Parameters
        ----------
        instance
            Its name, its id, or an unambiguous beginning of either.
        """
        terminal.unlock(keyring())
        known = registry.find(instance)
        error = asyncio.run(registering.check(known))
        if error is not None:
            raise error
        return Answer({"id": known.instance.id, "reachable": True}, f"{known.instance.name} answers, and is itself.")

    return check


def _remove(registry: Registry) -> Callable[..., object]:
    def remove(instance: str, /) -> object:
        """Take an instance off this machine's list until it is registered again; it stays trusted.

        Parameters
        ----------
        instance
            Its name, its id, or an unambiguous beginning of either.
        """
        known = registry.find(instance)
        registry.hide(known.instance.id)
        return Answer(
            {"id": known.instance.id}, f"{known.instance.name} is off the list; only a revocation ends trust."
        )

    return remove

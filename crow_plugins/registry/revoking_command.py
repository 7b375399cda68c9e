"""What a person types to end trust in a machine: `crow instances revoke`."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from crow_hooks import Command, Credentials, Crow, InstanceRegistry, KnownInstance, NotFound
from crow_plugins.premises import Premises
from crow_plugins.registry.inviting_command import ATerminal, Terminal
from crow_plugins.registry.revoking import Foreseen, NotConfirmed, RevokesItself, foresee, statement

FORESEEN = """\
{name} ({id}) will be trusted no more, by any instance of this chain that hears of it; this cannot be taken back.
  stays      {held} entries of its feed that are held here
  vanishes   {vanishing}
  remains    what it holds already: what a thief has read cannot be unread"""
ELSEWHERE = "what it wrote and this machine has not got, on every instance"
ELSEWHERE_KNOWN = "{count} entries that it has signed and this machine has not got, and whatever it wrote after them"
ROWS = "what it wrote to {rows}, which are made anew from what the others wrote; and "


def revoke_command(crow: Crow, premises: Premises, registry: InstanceRegistry) -> Command:
    def revoke(
        instance: str,
        /,
        *,
        since: Annotated[datetime | None, Parameter(help="Take back what it wrote since, as 2026-11-28T14:00.")] = None,
        yes: Annotated[bool, Parameter(help="Do not ask.", negative=())] = False,
        terminal: ATerminal,
    ) -> None:
        """End trust in an instance, for a machine that was lost or stolen.

        Parameters
        ----------
        instance
            Its name, its id, or an unambiguous beginning of either.
        """
        known = _found(crow, registry, instance)
        own = premises.keyring
        chain = own.chain_key(terminal.unlock(own) if own.identity.has_seed else None)
        with crow.read() as db:
            foreseen = foresee(db, known.instance.id, int(since.timestamp()) if since else None)
        if not yes:
            _confirm(terminal, known, foreseen)
        signed = statement(foreseen, known, chain, crow.now()).signed
        registry.learn(Credentials(certificates=(), revocations=(signed,)))
        _tell(terminal, known, foreseen)

    return Command("revoke", revoke, group="instances")


def _found(crow: Crow, registry: InstanceRegistry, named: str) -> KnownInstance:
    """An instance that may be revoked; one that is hidden here too. Raises `RevokesItself`, `NotFound`."""
    if named in (crow.instance.id, crow.instance.name):
        raise RevokesItself
    for known in registry.others():
        if named in (known.instance.id, known.instance.name):
            return known
    try:
        return registry.find(named)
    except NotFound:
        if crow.instance.id.startswith(named) and named:
            raise RevokesItself from None
        raise


def _confirm(terminal: Terminal, known: KnownInstance, foreseen: Foreseen) -> None:
    terminal.say(_foreseen(known, foreseen))
    if not sys.stdin.isatty():
        raise NotConfirmed
    terminal.say(f"Type {known.instance.name} to revoke it:")
    if sys.stdin.readline().strip() != known.instance.name:
        raise NotConfirmed


def _foreseen(known: KnownInstance, foreseen: Foreseen) -> str:
    elsewhere = ELSEWHERE_KNOWN.format(count=foreseen.elsewhere) if foreseen.elsewhere else ELSEWHERE
    rows = ", ".join(f"{count} of {table}" for table, count in foreseen.rows)
    vanishing = (ROWS.format(rows=rows) if rows else "") + elsewhere
    held = foreseen.branch.length
    return FORESEEN.format(name=known.instance.name, id=known.instance.id, held=held, vanishing=vanishing)


def _tell(terminal: Terminal, known: KnownInstance, foreseen: Foreseen) -> None:
    value = {
        "instance_id": known.instance.id,
        "name": known.instance.name,
        "length": foreseen.branch.length,
        "elsewhere": foreseen.elsewhere,
        "rows": dict(foreseen.rows),
    }
    text = (
        f"{known.instance.name} is revoked. The others hear of it as soon as they meet an instance that knows; "
        f"{foreseen.branch.length} entries of its feed stay."
    )
    terminal.answer(value, text)

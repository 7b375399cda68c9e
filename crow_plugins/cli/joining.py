"""Joining a chain: `crow join`, on the machine that comes in."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

from cyclopts import App, Parameter

from crow_hooks import REGISTRY, Instance
from crow_plugins.cli.starting import UNENCRYPTED, host_name
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.config import Home
from crow_plugins.identity import invitation
from crow_plugins.identity.errors import InvitationError
from crow_plugins.joining import (
    INTRODUCTIONS,
    AlreadyInChain,
    Joiner,
    NotAlone,
    Underway,
    check_alone,
    finish,
    is_over,
    unfinished,
)
from crow_plugins.keyring import Identity, Keyring, NoIdentity, passphrase_from_environment
from crow_plugins.outbound.calling import RemoteGateway
from crow_plugins.outbound.urls import DEFAULT_ZONES, Zone, parse

COMPARE = "Compare these eight words with those on the other machine: {fingerprint}"
JOINED = "This is now {name}, a {role} of the chain of {inviter}. Next: crow serve"

REGISTRY_OFF = "The registry is off here, so {inviter} is not known yet; it will be by: crow plugins enable registry"


def add_to(app: App) -> None:
    app.command(join)


def join(
    url: str,
    code: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    name: Annotated[str | None, Parameter(help="What to call this machine; its host name when left out.")] = None,
    keep_data: Annotated[bool, Parameter(help="Bring along what this machine kept while alone.", negative=())] = False,
    lan: Annotated[bool, Parameter(help="Allow an address of the local network.", negative=())] = False,
    terminal: ATerminal,
) -> None:
    """Make this machine an instance of a chain, by the code that crow invite shows; no master seed comes here.

    Parameters
    ----------
    url
        Where the gateway of the other machine answers.
    code
        The code, or - to read it from standard input; it is not sent.
    """
    address, secret = parse(url), invitation.typed(sys.stdin.readline() if code == "-" else code)
    alone = _alone(terminal, keep_data)
    passphrase = passphrase_from_environment()
    zones = {*DEFAULT_ZONES, Zone.LAN} if lan else DEFAULT_ZONES

    async def through() -> tuple[Underway, Identity]:
        async with RemoteGateway(address, zones) as gateway:
            joiner = Joiner(terminal.home, gateway, now=_now, passphrase=passphrase)
            return await _through(terminal, joiner, secret, name or _usual_name(alone), alone)

    underway, identity = asyncio.run(through())
    inviter = _introduce(terminal)
    _tell(terminal, underway, identity, inviter, encrypted=passphrase is not None)


def _alone(terminal: Terminal, keep_data: bool) -> Keyring | None:
    """The identity that keeps its data, or None for a machine without one. Raises when it may not join."""
    home = terminal.home
    home.check()
    before = unfinished(home)
    if before is None and not keep_data and _has_identity(home):
        raise AlreadyInChain(home.folder)
    if not keep_data or not _has_identity(home):
        return None
    check_alone(home)
    return None if before is not None and before.answer is not None else _without_others(terminal)


def _without_others(terminal: Terminal) -> Keyring:
    with terminal.open() as host:
        registry = host.services.offered(REGISTRY, lambda plugin: True)
        if registry is not None and registry.others():
            raise NotAlone(host.home.folder)
        terminal.unlock(host.keyring)
        return host.keyring


def _has_identity(home: Home) -> bool:
    try:
        Keyring.public(home.folder)
    except NoIdentity:
        return False
    return True


async def _through(
    terminal: Terminal, joiner: Joiner, code: bytes, name: str, alone: Keyring | None
) -> tuple[Underway, Identity]:
    """From the code, or from where an earlier run stopped, to an identity in the home."""
    underway = await joiner.resume(code)
    if underway is None:
        if alone is None and _has_identity(terminal.home):
            raise AlreadyInChain(terminal.home.folder)
        underway = await joiner.begin(code, name, alone)
    else:
        terminal.say("Going on with the join that was begun here earlier.")
    terminal.say(COMPARE.format(fingerprint=underway.fingerprint))
    try:
        underway = underway if underway.answer else await joiner.wait(underway)
    except InvitationError as error:
        if is_over(error):
            joiner.forget()
        raise
    return underway, joiner.adopt(underway)


def _introduce(terminal: Terminal) -> Instance | None:
    with terminal.open() as host:
        introductions = host.services.offered(INTRODUCTIONS, host.is_enabled)
        return finish(host.home, introductions, _now()) if introductions else None


def _tell(
    terminal: Terminal, underway: Underway, identity: Identity, inviter: Instance | None, *, encrypted: bool
) -> None:
    let_in = underway.joined(_now()).inviter
    if inviter is None:
        terminal.say(REGISTRY_OFF.format(inviter=let_in.name))
    value = {
        "instance_id": identity.instance_id,
        "name": identity.name,
        "role": identity.role,
        "fingerprint": underway.fingerprint,
        "inviter": {"instance_id": let_in.instance_id, "name": let_in.name, "url": underway.url},
    }
    terminal.answer(value, JOINED.format(name=identity.name, role=identity.role, inviter=let_in.name))
    if not encrypted and not terminal.json and not identity.encrypted:
        terminal.say(UNENCRYPTED)


def _usual_name(alone: Keyring | None) -> str:
    return alone.identity.name if alone else host_name()


def _now() -> int:
    return int(time.time())

"""What a person types to let a machine in: `crow invite`, which stays open until somebody came."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Protocol

from cyclopts import Parameter

from crow_hooks import Command, Crow, CrowError
from crow_plugins.identity.invitation import LIFETIME_SECONDS, Applicant, Refusal
from crow_plugins.keyring import Keyring
from crow_plugins.outbound.urls import parse
from crow_plugins.premises import Premises
from crow_plugins.registry.invitations import Invitations
from crow_plugins.registry.inviting import Inviter, Newcomers, Outcome
from crow_plugins.running import gateway_runs

LOOK_SECONDS = 0.2

INVITED = """\
On the new machine, within {minutes} minutes:

    crow join {url} {code}

Leave this open; Ctrl-C takes the invitation back."""
NO_GATEWAY = "No gateway runs in this home, so nobody can knock yet. Start it beside this: crow serve"
LOOPBACK = (
    "Only this machine reaches that address. For another one, give the address it can call: a name in your tailnet, or "
    "one with TLS; the registry's setting gateway_url says it to everybody."
)
ASK = "{name} knows the code. Its eight words: {fingerprint}\nAre they on its screen, and shall it come in? [y/N]"
JOINED = "{name} is now an instance of this chain. Its eight words: {fingerprint}"


TURNED_AWAY: dict[Refusal, str] = {
    "declined": "the machine was turned away, as you said; invite again when the right one is there",
    "name_taken": "the machine was turned away, since another instance has this name; invite again, join with --name",
    "key_taken": "the machine was turned away, since its keys are known here; let it join in an empty home",
}


class NotLetIn(CrowError):
    """A machine knew the code and was turned away all the same."""

    code = "not_let_in"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(TURNED_AWAY[refusal])


class Terminal(Protocol):
    """What a command is handed, as far as it is used here."""

    json: bool

    def unlock(self, keyring: Keyring) -> str | None: ...
    def answer(self, value: object, text: str | None = None) -> None: ...
    def say(self, text: str) -> None: ...


ATerminal = Annotated[Terminal, Parameter(parse=False)]


def invite_command(crow: Crow, premises: Premises, newcomers: Newcomers, address: Callable[[], str | None]) -> Command:
    """`address` tells where others reach the gateway of this home, None when nobody knows."""

    def invite(
        *,
        ask: Annotated[bool, Parameter(help="Show the machine's eight words and ask first.", negative=())] = False,
        terminal: ATerminal,
    ) -> None:
        """Let one new machine in: print a code for crow join, and wait until it has joined."""
        own = premises.keyring
        chain = own.chain_key(terminal.unlock(own) if own.identity.has_seed else None)
        certificate = own.identity.certificate.encode()
        allow = _asked(terminal) if ask else _everybody
        inviter = Inviter(Invitations(crow), newcomers, chain, certificate, now=crow.now, allow=allow)
        with _withdrawn_when_stopped(inviter):
            _announce(terminal, inviter, address(), gateway_runs(premises.home))
            outcome = _wait(inviter)
        _tell(terminal, outcome)

    return Command("invite", invite)


def _everybody(applicant: Applicant, fingerprint: str) -> bool:
    return True


def _asked(terminal: Terminal) -> Callable[[Applicant, str], bool]:
    """Ask a person; whoever cannot be asked, as at the end of standard input, has not said yes."""

    def allow(applicant: Applicant, fingerprint: str) -> bool:
        terminal.say(ASK.format(name=applicant.name, fingerprint=fingerprint))
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return allow


def _announce(terminal: Terminal, inviter: Inviter, url: str | None, runs: bool) -> None:
    text = INVITED.format(minutes=LIFETIME_SECONDS // 60, url=url or "URL", code=inviter.spelled)
    terminal.answer({"code": inviter.spelled, "url": url, "expires_at": inviter.expires_at}, text)
    sys.stdout.flush()
    if not runs:
        terminal.say(NO_GATEWAY)
    elif url is not None and _is_loopback(url):
        terminal.say(LOOPBACK)


def _is_loopback(url: str) -> bool:
    address = parse(url).address
    return address is not None and address.is_loopback


def _wait(inviter: Inviter) -> Outcome:
    while (outcome := inviter.look()) is None:
        time.sleep(LOOK_SECONDS)  # a wait on a lock may be left without it when a signal ends it
    return outcome


def _tell(terminal: Terminal, outcome: Outcome) -> None:
    if outcome.refused is not None:
        raise NotLetIn(outcome.refused)
    joined = {"instance_id": outcome.instance.id, "name": outcome.instance.name, "role": outcome.instance.role}
    text = JOINED.format(name=outcome.instance.name, fingerprint=outcome.fingerprint)
    terminal.answer({"joined": joined, "fingerprint": outcome.fingerprint}, text)


@contextmanager
def _withdrawn_when_stopped(inviter: Inviter) -> Iterator[None]:
    """Take the invitation back when this ends by a signal or an error; nobody could certify by it any more."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except BaseException:
        inviter.withdraw()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Letting assistants in: their tokens, and what to paste into their configuration."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from crow_hooks import Invalid
from crow_plugins import bearer
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.config import DEFAULT_HOST, DEFAULT_PORT
from crow_plugins.running import Running, running_gateway
from crow_plugins.wording import utc

UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
SECONDS_MAX = 100 * UNITS["y"]
PLACEHOLDER = "PUT-A-TOKEN-HERE"

Client = Literal["claude-desktop", "claude-code", "cursor", "vscode"]


def add_to(app: App) -> None:
    tokens = App(name="token", help="Bearer tokens for assistants that connect by HTTP.", help_format="plaintext")
    tokens.command(create)
    tokens.command(list_tokens, name="list")
    tokens.command(revoke)
    app.command(tokens)
    app.command(config)


def create(
    label: str,
    /,
    *,
    read_only: Annotated[bool, Parameter(help="It may search and read, and change nothing.", negative=())] = False,
    expires: Annotated[str | None, Parameter(help="When it ends, from now: 12h, 30d, 1y. Never when left out.")] = None,
    terminal: ATerminal,
) -> None:
    """Make a token and show it, this once.

    Parameters
    ----------
    label
        What to call it: the assistant that will use it.
    """
    seconds = _seconds(expires) if expires else None
    scopes: Sequence[str] = ["read"] if read_only else bearer.SCOPES
    with terminal.open() as host, host.transaction() as transaction:
        ends = None if seconds is None else transaction.now + seconds
        token, grant = bearer.create(transaction.db, label, scopes, now=transaction.now, expires_at=ends)
    terminal.answer({"token": token, **asdict(grant)}, token)
    if not terminal.json:
        terminal.say(
            f"This is the token of {grant.label}; it is not shown again. End it with: crow token revoke {grant.id}"
        )


def list_tokens(*, terminal: ATerminal) -> None:
    """Show the tokens there are, and when each was used last."""
    with terminal.open() as host, host.read() as db:
        grants = bearer.grants(db)
    if terminal.json:
        terminal.answer([asdict(grant) for grant in grants])
        return
    from rich.table import Table

    table = Table("id", "label", "may", "made", "last used", "state", box=None, pad_edge=False)
    for grant in grants:
        table.add_row(
            grant.id,
            grant.label,
            " ".join(grant.scopes),
            _time(grant.created_at),
            _time(grant.last_used),
            _state(grant),
        )
    terminal.out.print(table if grants else "No tokens yet; make one with: crow token create LABEL")


def revoke(name: str, /, *, terminal: ATerminal) -> None:
    """End a token at once.

    Parameters
    ----------
    name
        Its label or its id.
    """
    with terminal.open() as host, host.transaction() as transaction:
        grant = bearer.revoke(transaction.db, name, now=transaction.now)
    terminal.answer({"revoked": grant.id}, f"Revoked the token of {grant.label}.")


def config(
    client: Client,
    /,
    *,
    http: Annotated[bool, Parameter(help="Connect to the gateway instead of starting a process.", negative=())] = False,
    token: Annotated[str, Parameter(help="With --http: the token to put in.")] = PLACEHOLDER,
    terminal: ATerminal,
) -> None:
    """Print what to paste into an assistant's configuration, and say where it goes.

    Parameters
    ----------
    client
        The program that the assistant is in.
    """
    if token != PLACEHOLDER and not http:
        raise Invalid("--token is for assistants that connect by HTTP; give --http too, or leave it out")
    running = running_gateway(terminal.home) or Running(0, DEFAULT_HOST, DEFAULT_PORT)
    where, snippet = CLIENTS[client](_over_http(running.mcp, token) if http else _over_stdio(terminal))
    text = snippet if isinstance(snippet, str) else json.dumps(snippet, indent=2)
    terminal.answer({"client": client, "where": where, "snippet": snippet}, text)
    if not terminal.json:
        terminal.say(where)
        if http and token == PLACEHOLDER:
            terminal.say(f"Put a token in the place of {PLACEHOLDER}; make one with: crow token create {client}")


Entry = dict[str, Any]


def _over_stdio(terminal: Terminal) -> Entry:
    return {"command": _command(), "args": ["serve", "--stdio", "--home", str(terminal.home.folder)]}


def _over_http(url: str, token: str) -> Entry:
    return {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}


def _command() -> str:
    """The full path of this very command: assistants start processes without a person's PATH."""
    beside = Path(sys.executable).with_name("crow")
    return str(beside if beside.exists() else Path(sys.argv[0]).absolute())


def _claude_desktop(entry: Entry) -> tuple[str, object]:
    return "Put it into claude_desktop_config.json (Settings, Developer, Edit Config).", {"mcpServers": {"crow": entry}}


def _claude_code(entry: Entry) -> tuple[str, object]:
    if "url" in entry:
        header = f"Authorization: {entry['headers']['Authorization']}"
        command = ["claude", "mcp", "add", "--transport", "http", "crow", entry["url"], "--header", header]
    else:
        command = ["claude", "mcp", "add", "crow", "--", entry["command"], *entry["args"]]
    return "Run it in a terminal.", shlex.join(command)


def _cursor(entry: Entry) -> tuple[str, object]:
    return "Put it into ~/.cursor/mcp.json.", {"mcpServers": {"crow": entry}}


def _vscode(entry: Entry) -> tuple[str, object]:
    return "Put it into .vscode/mcp.json.", {"servers": {"crow": {"type": "stdio", **entry}}}


CLIENTS: dict[str, Callable[[Entry], tuple[str, object]]] = {
    "claude-desktop": _claude_desktop,
    "claude-code": _claude_code,
    "cursor": _cursor,
    "vscode": _vscode,
}


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhdwy])", text)
    if match is None:
        raise Invalid(f"{text} is no length of time; write it as 12h, 30d or 1y")
    seconds = int(match[1]) * UNITS[match[2]]
    if seconds > SECONDS_MAX:
        raise Invalid(f"{text} is longer than 100 years; leave --expires out for a token without an end")
    return seconds


def _time(seconds: int | None) -> str:
    return "never" if seconds is None else f"{utc(seconds):%Y-%m-%d %H:%M}"


def _state(grant: bearer.Grant) -> str:
    if grant.revoked_at is not None:
        return "revoked"
    if grant.expires_at is None:
        return "good"
    return "ended" if grant.expires_at <= time.time() else f"good until {_time(grant.expires_at)}"

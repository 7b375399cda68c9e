"""Serving: the gateway over HTTP, and the same tools over stdio beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import crow_plugins
from crow_plugins.cli.starting import make_identity
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.config import DEFAULT_HOST, DEFAULT_PORT
from crow_plugins.host import Host
from crow_plugins.keyring import NoIdentity
from crow_plugins.running import Running
from crow_plugins.uncollected import uncollected

OPEN_TO_OTHERS = (
    "This gateway can be reached from other machines, and what goes over the wire is not encrypted: tokens and "
    "memories can be read on the way. Put TLS in front of it, or a private network such as a tailnet around it."
)


READY = """\
{name} answers at {mcp}
  a token for an assistant   crow token create LABEL
  its configuration          crow config claude-desktop   (or claude-code, cursor, vscode)
  all of it in a browser     crow nest login
  documentation              {docs}
Stop it with Ctrl-C."""


def add_to(app: App) -> None:
    app.command(serve)


def serve(
    *,
    host: Annotated[str, Parameter(help="The address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, Parameter(help="The port; 0 takes a free one.")] = DEFAULT_PORT,
    allow_host: Annotated[tuple[str, ...], Parameter(help="Another name this gateway is called by.")] = (),
    stdio: Annotated[bool, Parameter(help="Speak MCP on stdin and stdout instead.", negative=())] = False,
    terminal: ATerminal,
) -> None:
    """Run the gateway until it is told to stop; make the identity first where there is none."""
    with uncollected():
        # It brings the server, which takes a while to import; no other command needs it.
        from crow_plugins.gateway import is_loopback
        from crow_plugins.gateway import serve as serve_gateway

        installation = _open_or_make(terminal)
    with installation:
        if stdio:
            with uncollected():
                server = installation.server
            asyncio.run(server.run_stdio_async(show_banner=False))
            return
        terminal.unlock(installation.keyring)
        if not is_loopback(host):
            terminal.say(OPEN_TO_OTHERS)
        serve_gateway(
            installation,
            address=host,
            port=port,
            names=allow_host,
            ready=lambda running: _announce(terminal, installation, running),
        )


def _open_or_make(terminal: Terminal) -> Host:
    try:
        return terminal.open()
    except NoIdentity:
        keyring = make_identity(terminal, None, "home")
    terminal.say(
        f"Made a new identity for this machine, {keyring.identity.name}. "
        "Write down its 24 backup words; they are shown by: crow identity words"
    )
    return terminal.open()


def _announce(terminal: Terminal, installation: Host, running: Running) -> None:
    instance = installation.instance
    addresses = {"mcp": running.mcp, "sync": f"{running.base_url}/sync", "nest": f"{running.base_url}/nest"}
    terminal.answer(
        {"ready": True, "instance_id": instance.id, "name": instance.name, **addresses},
        READY.format(name=instance.name, mcp=running.mcp, docs=docs()),
    )
    terminal.out.file.flush()


def docs() -> Path:
    """The documentation's first page: inside the package when installed, beside it in a checkout."""
    package = Path(crow_plugins.__file__).parent
    packaged = package / "docs" / "index.md"
    return packaged if packaged.exists() else package.parent / "docs" / "index.md"

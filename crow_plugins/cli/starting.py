"""Making an installation, and seeing how it is."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from crow_hooks import Summary
from crow_plugins import bearer
from crow_plugins.cli.standing import standing
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.doctor import health_of
from crow_plugins.files import private_text
from crow_plugins.host import Host
from crow_plugins.identity import words
from crow_plugins.keyring import EmptyPassphrase, Keyring, passphrase_from_environment
from crow_plugins.running import Running, running_gateway
from crow_plugins.wording import number

NAME_MAX = 64
WORDS_SIZE_MAX = 4096

WORDS = """\
Write these 24 words down and keep them away from this machine. They are your identity: whoever has them is you,
and they are the only way back if every machine is lost. They are not shown again unless you ask (crow identity words).

{words}
"""

UNENCRYPTED = (
    "The keys are kept without a passphrase: whoever can read this folder can be you. "
    "To protect them, give a passphrase when you make an identity (crow init --passphrase-file FILE)."
)


def add_to(app: App) -> None:
    app.command(init)
    app.command(status)


def init(
    *,
    name: Annotated[str | None, Parameter(help="What to call this machine; its host name when left out.")] = None,
    role: Annotated[Literal["home", "satellite"], Parameter(help="home: the one the others reach first.")] = "home",
    passphrase_file: Annotated[
        Path | None, Parameter(help="Encrypt the keys with the first line of this file.")
    ] = None,
    words_file: Annotated[
        Path | None,
        Parameter(
            help="Come back with the 24 words of an identity, from this file; - for standard input.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    terminal: ATerminal,
) -> None:
    """Make an identity and an empty database, and print the 24 backup words once."""
    passphrase = first_line(passphrase_file) if passphrase_file else passphrase_from_environment()
    seed = words.to_secret(_words(words_file)) if words_file else None
    keyring = make_identity(terminal, name, role, passphrase, seed=seed)
    with terminal.open() as host:
        spoken = keyring.words(passphrase)
        if terminal.json:
            terminal.answer({**facts(host), "words": spoken})
            return
        terminal.answer(None, f"This is now {host.instance.name}, a {host.instance.role}, in {host.home.folder}\n")
        terminal.answer(None, WORDS.format(words=numbered(spoken)))
        if passphrase is None:
            terminal.say(UNENCRYPTED)
        terminal.answer(None, "Next: crow serve")


def status(*, terminal: ATerminal) -> None:
    """Say what this installation is, where its gateway answers, and what it keeps."""
    with terminal.open() as host:
        running = running_gateway(host.home)
        gateway, rows, tokens, plugins = _gateway(running), _rows(host), _tokens(host), _plugins(host)
        lines = [
            f"{host.instance.name} ({host.instance.role}), instance {host.instance.id}",
            *standing(host),
            "",
            f"home       {host.home.folder}",
            f"gateway    {_gateway_line(gateway)}",
            f"keeps      {_kept(rows)}",
            f"plugins    {', '.join(plugins) or 'none'}",
            f"tokens     {tokens}",
        ]
        answer = {**facts(host), "gateway": gateway, "rows": rows, "tokens": tokens, "summary": _summary(host)}
        terminal.answer(answer, "\n".join(lines))


def make_identity(
    terminal: Terminal,
    name: str | None,
    role: Literal["home", "satellite"],
    passphrase: str | None = None,
    *,
    seed: bytes | None = None,
) -> Keyring:
    """Make this home's identity: a new chain, or another instance of the one that `seed` is of."""
    terminal.home.make()
    return Keyring.create(
        terminal.home.folder,
        name=host_name() if name is None else name,
        role=role,
        now=int(time.time()),
        passphrase=passphrase or passphrase_from_environment(),
        seed=seed,
    )


def host_name() -> str:
    """This machine's name, as far as it can serve as an instance's."""
    return socket.gethostname().split(".")[0][:NAME_MAX] or "crow"


def facts(host: Host) -> dict[str, object]:
    instance = host.instance
    return {
        "instance_id": instance.id,
        "name": instance.name,
        "role": instance.role,
        "home": str(host.home.folder),
        "plugins": _plugins(host),
    }


def numbered(spoken: str) -> str:
    """Six to a line, with their numbers, as one writes them down."""
    cells = [f"{number:2} {word:10}" for number, word in enumerate(spoken.split(), 1)]
    return "\n".join("".join(cells[start : start + 6]).rstrip() for start in range(0, len(cells), 6))


def _words(file: Path) -> str:
    return sys.stdin.read(WORDS_SIZE_MAX) if file == Path("-") else private_text(file, WORDS_SIZE_MAX)


def first_line(file: Path) -> str:
    """A passphrase from a file that only its owner can read."""
    line = private_text(file).split("\n")[0].rstrip("\r")
    if not line:
        raise EmptyPassphrase(str(file))
    return line


def _plugins(host: Host) -> list[str]:
    return [plugin.name for plugin in host.manifest.plugins if host.is_enabled(plugin.name)]


def _summary(host: Host) -> dict[str, object]:
    """What each plugin that is on says of this instance, by kind."""
    with host.read() as db:
        return {
            summary.kind: summary.collect(db)
            for plugin, summary in host.contributions("register_summary", Summary)
            if host.is_enabled(plugin)
        }


def _rows(host: Host) -> dict[str, int]:
    with host.read() as db:
        return {table: db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0] for table in sorted(host.owners)}


def _kept(rows: dict[str, int]) -> str:
    return ", ".join(f"{table}: {number(count)}" for table, count in rows.items() if count) or "nothing yet"


def _tokens(host: Host) -> int:
    with host.read() as db:
        return sum(grant.revoked_at is None for grant in bearer.grants(db))


def _gateway(running: Running | None) -> dict[str, object] | None:
    if running is None:
        return None
    return {"pid": running.pid, "mcp": running.mcp, "answers": health_of(running) is not None}


def _gateway_line(gateway: dict[str, object] | None) -> str:
    if gateway is None:
        return "not running; start it with: crow serve"
    return f"{gateway['mcp']} (process {gateway['pid']}{'' if gateway['answers'] else ', does not answer'})"

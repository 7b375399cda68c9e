"""`crow feed`: this instance's feed as any Hypercore tool knows it, given to such tools, and feeds copied from them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crow_hooks import Answer, Command, Crow
from crow_plugins.keyring import Keyring
from crow_plugins.replicator.feed_serving import FeedServer, Place, public_key, until_stopped
from crow_plugins.replicator.mirror import Mirror
from crow_plugins.replicator.own_feed import OwnFeed

READS_ALL = (
    "Whoever has this feed's key can read everything that this instance ever wrote, deleted rows and old versions too."
)


class Terminal(Protocol):
    """What a command is handed, as far as it is used here."""

    json: bool

    def unlock(self, keyring: Keyring) -> str | None: ...
    def answer(self, value: object, text: str | None = None) -> None: ...
    def say(self, text: str) -> None: ...


ATerminal = Annotated[Terminal, Parameter(parse=False)]


def feed_commands(crow: Crow, own: OwnFeed, keyring: Keyring) -> Sequence[Command]:
    return [
        Command("info", _info(crow, own, keyring), group="feed", about="This machine's feed, for any Hypercore tool."),
        Command("serve", _serve(crow, own, keyring), group="feed"),
        Command("mirror", _mirror(keyring), group="feed"),
    ]


def _info(crow: Crow, own: OwnFeed, keyring: Keyring) -> Callable[..., object]:
    def info() -> object:
        """Show this instance's feed: its key, how long it is, and what its writer signed last."""
        with crow.read() as db:
            feed, suspect = own.held(db), own.suspect(db)
            head = None if feed is None else feed.head
        value = {
            "key": own.key.hex(),
            "length": head.length if head else 0,
            "byte_length": head.byte_length if head else 0,
            "fork": head.fork if head else 0,
            "tree_hash": head.tree_hash.hex() if head else None,
            "signature": head.signature.hex() if head else None,
            "manifest": own.manifest.hex(),
            "instance_id": own.instance_id,
            "peer_key": keyring.identity.noise_key,
            "suspect": suspect,
        }
        lines = [
            f"key        {value['key']}",
            f"length     {value['length']} blocks, {value['byte_length']} bytes, fork {value['fork']}",
            f"peer key   {value['peer_key']}",
        ]
        if suspect is not None:
            lines.append(f"suspect    {suspect}: nothing is appended until it is known what the others have")
        return Answer(value, "\n".join([*lines, "", READS_ALL]))

    return info


def _serve(crow: Crow, own: OwnFeed, keyring: Keyring) -> Callable[..., object]:
    def serve(
        *,
        tcp: Annotated[str, Parameter(help="Where to listen, as HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:0",
        allow: Annotated[tuple[str, ...], Parameter(help="A peer's public key, in hex; only those come.")] = (),
        terminal: ATerminal,
    ) -> None:
        """Give this instance's feed to ordinary Hypercore peers over TCP, until Ctrl-C."""
        place, allowed = Place.read(tcp), [public_key(key) for key in allow]
        terminal.unlock(keyring)
        server = FeedServer(crow, own, keyring.device.noise, allowed)

        def ready(port: int) -> None:
            value = {"ready": True, "host": place.host, "port": port, "key": own.key.hex()}
            terminal.answer(value, f"Listening at {place.host}:{port}. The feed's key: {own.key.hex()}")
            sys.stdout.flush()
            terminal.say(READS_ALL)

        asyncio.run(_stoppable(server.run(place, ready)))

    return serve


def _mirror(keyring: Keyring) -> Callable[..., object]:
    def mirror(
        peer: str,
        key: str,
        /,
        *,
        out: Annotated[Path, Parameter(help="The file, one JSON object a line; gone on with if it is there.")],
        follow: Annotated[bool, Parameter(help="Go on with what comes, until Ctrl-C.", negative=())] = False,
        terminal: ATerminal,
    ) -> object:
        """Copy a feed from an ordinary Hypercore peer into a file, every block verified.

        Parameters
        ----------
        peer
            Where the peer listens, as HOST:PORT.
        key
            The feed's key, in hex.
        """
        place, feed_key = Place.read(peer), public_key(key)
        terminal.unlock(keyring)
        with _progress() as progress:
            bar = progress.add_task("blocks", total=None)
            copying = Mirror(feed_key, out, lambda length, whole: progress.update(bar, completed=length, total=whole))
            asyncio.run(_stoppable(copying.run(place, keyring.device.noise, follow=follow)))
        return Answer(
            {"key": feed_key.hex(), "length": copying.length, "file": str(out)},
            f"{copying.length} blocks are in {out}, each one verified. The file reads everything that the feed holds.",
        )

    return mirror


def _progress() -> Progress:
    """On standard error, where a person looks at it; else nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


async def _stoppable(work: Coroutine[Any, Any, None]) -> None:
    """Run until it ends, or until Ctrl-C or SIGTERM; that is no failure."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await until_stopped(loop.create_task(work), stopped)

"""`crow demo`: three machines in one terminal, told as a story while it happens."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Annotated

from cyclopts import App, Parameter

from crow_plugins.cli.terminal import ATerminal, visible

NAMES = ("grackle", "swan", "heron")


def add_to(app: App) -> None:
    app.command(demo)


def demo(
    *,
    once: Annotated[bool, Parameter(help="End after the story, as without a terminal.", negative=())] = False,
    terminal: ATerminal,
) -> None:
    """Show three machines of one person at work, in a folder that is thrown away; nothing of yours is touched."""
    from crow_plugins.demo.machines import machines  # FastMCP takes a while to import: other commands do without
    from crow_plugins.demo.story import story

    # Whoever ends it, its machines end with it; so when a terminal closes. As Ctrl-C, which asyncio takes between two
    # steps of the story.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: signal.raise_signal(signal.SIGINT))
    out = terminal.err if terminal.json else terminal.out

    with out.status("Making three machines") as status:

        def act(title: str) -> None:
            status.update(title)
            out.print(f"\n[bold]{title}[/]")

        def tell(line: str) -> None:
            out.print(f"  {visible(line)}", markup=False, emoji=False)
            out.file.flush()

        with machines(NAMES) as (grackle, swan, heron), _to_its_end():
            facts = asyncio.run(story(grackle, swan, heron, act, tell))
            nest = grackle.typed("nest", "login")["url"]
            act("See for yourself")
            tell(f"The Nest of {grackle.name}, for one browser: {nest}")
            if once or not sys.stdin.isatty():
                tell("It ends here; in a terminal and without --once, all three would run until you press Ctrl-C.")
            else:
                tell("All three run until you press Ctrl-C; then nothing of them is left.")
                status.stop()
                Event().wait()
    terminal.answer({**facts, "nest": nest}, "\nNothing of the three machines is left.")


@contextmanager
def _to_its_end() -> Iterator[None]:
    """Nothing interrupts what comes after the block: who presses Ctrl-C twice would leave half of a machine behind."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

"""A backup of the database that is safe to put back, and putting it back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from crow_plugins.cli.terminal import ATerminal
from crow_plugins.cli.transfer import FileUnusable
from crow_plugins.keyring import Keyring
from crow_plugins.store import backup as backups

RESTORED = """\
Restored from {file}; the database that was there is kept as {aside}.
The next crow serve asks the other machines what they have from this one since, before it tells them anything new."""


def add_to(app: App) -> None:
    app.command(backup)
    app.command(restore)


def backup(file: Path, /, *, terminal: ATerminal) -> None:
    """Write a verified copy of the database, while everything goes on. The keys are not in it.

    Parameters
    ----------
    file
        Where to. A file that exists is left alone.
    """
    terminal.home.check()
    with terminal.open():  # a home that cannot be opened is not worth keeping a copy of
        pass
    from rich.progress import Progress

    with Progress(
        console=terminal.err, transient=True, disable=terminal.json or not terminal.err.is_terminal
    ) as progress:
        task = progress.add_task("Copying", total=None)
        try:
            size = backups.back_up(
                terminal.home.database,
                file,
                lambda done, pages: progress.update(task, completed=done, total=pages),
            )
        except OSError as error:
            raise FileUnusable(file, error.strerror or str(error)) from error
    terminal.answer({"file": str(file), "bytes": size}, f"Backed up to {file}, {size / 2**20:.1f} MiB, verified.")
    if not terminal.json:
        terminal.say("Whoever has this file can read everything in it. The keys are not in it: crow identity words.")


def restore(
    file: Path,
    /,
    *,
    of_another: Annotated[bool, Parameter(negative=())] = False,
    terminal: ATerminal,
) -> None:
    """Put a backup in the place of the database; what was there is kept beside it. Stop the gateway first.

    Parameters
    ----------
    file
        What crow backup wrote.
    of_another
        Another instance made it, as one that is lost: what it wrote stays on this machine until it is exported.
    """
    from crow_plugins.gateway import only_gateway  # it brings the server, which takes a while to import

    terminal.home.check()
    identity = Keyring.public(terminal.home.folder)
    aside = terminal.home.database.with_name(f"crow-before-restore-{int(time.time())}.db")
    with only_gateway(terminal.home, "restore again"):
        try:
            own = None if of_another else identity.instance_id
            backups.restore(terminal.home.database, file, aside, instance_id=own)
        except OSError as error:
            raise FileUnusable(file, error.strerror or str(error)) from error
    with terminal.open():  # brings an older schema to today's, or says why it cannot
        pass
    terminal.answer({"restored": str(file), "kept": str(aside)}, RESTORED.format(file=file, aside=aside))

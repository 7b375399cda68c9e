"""This machine's identity: shown, spoken as words, carried to another machine of the same person."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from crow_plugins.cli.starting import first_line, make_identity, numbered
from crow_plugins.cli.terminal import ATerminal
from crow_plugins.files import create_private, read_plain
from crow_plugins.identity import sealing, transfer
from crow_plugins.keyring import Keyring

APassphraseFile = Annotated[Path, Parameter(help="A private file; its first line is the passphrase of the export.")]


def add_to(app: App) -> None:
    identity = App(name="identity", help="Who this installation is.", help_format="plaintext")
    identity.command(show)
    identity.command(words)
    identity.command(export_identity, name="export")
    identity.command(import_identity, name="import")
    app.command(identity)


def show(*, terminal: ATerminal) -> None:
    """Show the public side of the identity: names, keys, and the fingerprint to compare."""
    terminal.home.check()
    facts = asdict(Keyring.public(terminal.home.folder))
    width = max(map(len, facts))
    terminal.answer(facts, "\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))


def words(*, terminal: ATerminal) -> None:
    """Show the 24 backup words: whoever sees them can be you."""
    terminal.home.check()
    keyring = Keyring.load(terminal.home.folder)
    spoken = keyring.words(terminal.unlock(keyring))
    terminal.answer({"words": spoken}, numbered(spoken))


def export_identity(file: Path, /, *, passphrase_file: APassphraseFile, terminal: ATerminal) -> None:
    """Write the identity to a file for another machine of yours, encrypted; this machine's own keys stay here.

    Parameters
    ----------
    file
        Where to. A file that exists is left alone.
    """
    terminal.home.check()
    keyring = Keyring.load(terminal.home.folder)
    seed = keyring.seed(terminal.unlock(keyring))
    salt, nonce = secrets.token_bytes(sealing.SALT_BYTES), secrets.token_bytes(sealing.NONCE_BYTES)
    create_private(file, transfer.exported(seed, first_line(passphrase_file), salt=salt, nonce=nonce))
    fingerprint = keyring.identity.fingerprint
    terminal.answer({"file": str(file), "fingerprint": fingerprint}, f"Exported to {file}. Fingerprint: {fingerprint}")
    if not terminal.json:
        terminal.say("With its passphrase this file is you: carry it yourself, and destroy it once it is imported.")


def import_identity(
    file: Path,
    /,
    *,
    passphrase_file: APassphraseFile,
    name: Annotated[str | None, Parameter(help="What to call this machine; its host name when left out.")] = None,
    terminal: ATerminal,
) -> None:
    """Make this machine another instance of an exported identity, with keys of its own.

    Parameters
    ----------
    file
        What crow identity export wrote on the other machine.
    """
    carried = transfer.imported(read_plain(file, transfer.SIZE_MAX), first_line(passphrase_file))
    keyring = make_identity(terminal, name, "satellite", seed=carried.seed)
    identity = keyring.identity
    terminal.answer(
        asdict(identity),
        f"This is now {identity.name}, a {identity.role} of the same chain. Fingerprint: {identity.fingerprint}",
    )

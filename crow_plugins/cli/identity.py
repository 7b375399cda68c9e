"""This machine's identity, and the words it can be made again from."""

from __future__ import annotations

from dataclasses import asdict

from cyclopts import App

from crow_plugins.cli.starting import numbered
from crow_plugins.cli.terminal import ATerminal
from crow_plugins.keyring import Keyring


def add_to(app: App) -> None:
    identity = App(name="identity", help="Who this installation is.", help_format="plaintext")
    identity.command(show)
    identity.command(words)
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

"""What every command is handed: which home, how to answer, and the installation, opened when it is needed."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from crow_plugins.config import Home
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring, passphrase_from_environment

PIPE_WIDTH = 10_000


@dataclass
class Terminal:
    """One run of the command."""

    home: Home
    json: bool
    manifest_file: Path | None
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True, width=_width()))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    @property
    def manifest_files(self) -> list[Path]:
        """What lies over the built-in manifest, the last word last."""
        return [self.home.manifest, *([self.manifest_file] if self.manifest_file else [])]

    def open(self) -> Host:
        """Open the installation, its keys locked where they are sealed; the caller closes it."""
        return Host(self.home.folder, manifest_file=self.manifest_file)

    def unlock(self, keyring: Keyring) -> str | None:
        """Open sealed keys with the environment's passphrase, or else with the one a person types; returns it."""
        passphrase = passphrase_from_environment()
        if keyring.identity.encrypted and passphrase is None and sys.stdin.isatty():
            passphrase = getpass.getpass("Passphrase: ")
        if keyring.locked:
            keyring.unlock(passphrase)
        return passphrase

    def answer(self, value: object, text: str | None = None) -> None:
        """Print one answer: `value` with --json, else `text`."""
        if self.json or text is None:
            sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        else:
            self.out.print(visible(text), markup=False, emoji=False)

    def say(self, text: str) -> None:
        """A word beside the answer, on stderr."""
        self.err.print(visible(text), markup=False, emoji=False)


def _width() -> int | None:
    """As wide as the terminal; where there is none, a table is not cut at anybody's width."""
    return None if sys.stdout.isatty() else PIPE_WIDTH


def visible(text: str) -> str:
    """Text with control characters replaced: what was stored may not command the terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


ATerminal = Annotated[Terminal, Parameter(parse=False)]

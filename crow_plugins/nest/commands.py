"""`crow nest`: getting in."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from crow_hooks import Answer, Command, Crow, Invalid
from crow_plugins.files import private_text
from crow_plugins.nest.access import Access
from crow_plugins.nest.web import ROOT
from crow_plugins.premises import Premises
from crow_plugins.running import running_gateway

NO_GATEWAY = "No gateway runs in this home; start it with crow serve, then open this path there: {path}"


def commands(crow: Crow, premises: Premises) -> Sequence[Command]:
    def login() -> object:
        """Show an address that signs one browser in to the Nest, within ten minutes."""
        path = f"{ROOT}/login?code={Access(crow).new_code()}"
        running = running_gateway(premises.home)
        url = None if running is None else running.base_url + path
        return Answer({"url": url, "path": path}, url or NO_GATEWAY.format(path=path))

    def password(
        *, file: Annotated[Path | None, Parameter(help="A private file; its first line is the password.")] = None
    ) -> object:
        """Set the password of the Nest; every browser signs in anew."""
        Access(crow).set_password(_typed() if file is None else _first_line(file))
        return Answer({"changed": True}, "The password is set. Every browser signs in anew.")

    return [
        Command("login", login, group="nest", about="Getting in to the Nest, the pages in a browser."),
        Command("password", password, group="nest"),
    ]


def _typed() -> str:
    if not sys.stdin.isatty():
        raise Invalid("no terminal is there to type a password at; give it with --file")
    first = getpass.getpass("New password: ")
    if first != getpass.getpass("Once more: "):
        raise Invalid("the two passwords differ; nothing was changed, so try again")
    return first


def _first_line(file: Path) -> str:
    return private_text(file).split("\n", 1)[0].rstrip("\r")

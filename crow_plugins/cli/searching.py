"""Searching from the terminal."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from crow_plugins.cli.terminal import ATerminal
from crow_plugins.everything import Hit, search_everything
from crow_plugins.wording import day

LIMIT_MAX = 100


def add_to(app: App) -> None:
    app.command(search)


def search(
    *query: str,
    kind: Annotated[tuple[str, ...], Parameter(help="Only this kind of row; give it as often as needed.")] = (),
    limit: Annotated[int, Parameter(help="How many at the most.")] = 10,
    terminal: ATerminal,
) -> None:
    """Search everything kept here, best matches first.

    Parameters
    ----------
    query
        What to look for, in plain words.
    """
    with terminal.open() as host:
        found = search_everything(host, " ".join(query), list(kind) or None, max(1, min(limit, LIMIT_MAX)))
    if terminal.json:
        terminal.answer(found.model_dump())
    elif not found.items:
        terminal.say("Nothing found.")
    for hit in () if terminal.json else found.items:
        terminal.answer(None, _shown(hit))


def _shown(hit: Hit) -> str:
    return f"{hit.title}\n    {' '.join(hit.snippet.split())}\n    {hit.kind} {hit.id}, {day(hit.updated_at)}"

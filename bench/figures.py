"""A measured figure, and the limit that it is held against in the same run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `met` is None where nothing was promised."""

    name: str
    value: str
    floor: str = ""
    met: bool | None = None


def percentile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(title: str, figures: Iterable[Figure]) -> None:
    table = Table("figure", "measured", "floor", "", title=title, title_justify="left", box=None, pad_edge=False)
    for figure in figures:
        table.add_row(figure.name, figure.value, figure.floor, {True: "met", False: "missed", None: ""}[figure.met])
    Console().print(table)

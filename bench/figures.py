"""A measured figure, and the limits that it is held against in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

WIDTH_MIN = 150
DIGITS = {"×": 2, "s": 2, "ms": 1, "%": 2}  # after the point; of other units whole ones are told


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `spread`: from the lowest round to the highest; `met`: None where nothing is promised."""

    name: str
    value: str
    floor: str = ""
    met: bool | None = None
    spread: str = ""
    aim: str = ""
    aim_met: bool | None = None

    @property
    def verdict(self) -> str:
        if self.met is False:
            return "missed"
        if self.aim_met:
            return "aim met"
        if self.met:
            return "met"
        return "" if self.aim_met is None else "aim missed"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a figure must reach, and what it should; `below` where less is better."""

    floor: float | None
    aim: float | None = None
    below: bool = False

    def text(self, limit: float | None, unit: str) -> str:
        if limit is None:
            return ""
        return f"{'<' if self.below else '≥'} {limit:,g} {unit}"

    def held(self, limit: float | None, value: float) -> bool | None:
        if limit is None:
            return None
        return value < limit if self.below else value >= limit


NO_LIMITS = Limits(None)


def at_least(floor: float | None, aim: float | None = None) -> Limits:
    return Limits(floor, aim)


def below(floor: float | None, aim: float | None = None) -> Limits:
    return Limits(floor, aim, below=True)


def measured(
    name: str, rounds: Sequence[float], unit: str, limits: Limits = NO_LIMITS, *, value: float | None = None
) -> Figure:
    """A value, the median of the rounds if none is given, with their spread, held against the limits."""
    value = statistics.median(rounds) if value is None else value
    return Figure(
        name,
        f"{_number(value, unit)} {unit}",
        limits.text(limits.floor, unit),
        limits.held(limits.floor, value),
        f"{_number(min(rounds), unit)} to {_number(max(rounds), unit)}" if len(rounds) > 1 else "",
        limits.text(limits.aim, unit),
        limits.held(limits.aim, value),
    )


def percentile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(title: str, figures: Iterable[Figure]) -> None:
    columns = ("figure", "measured", "spread", "floor", "aim", "")
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for figure in figures:
        table.add_row(figure.name, figure.value, figure.spread, figure.floor, figure.aim, figure.verdict)
    console = Console()
    console.width = max(console.width, WIDTH_MIN)  # also into a file, where it takes a narrow terminal for granted
    console.print(table)
    console.print()


def _number(value: float, unit: str) -> str:
    return f"{value:,.{DIGITS.get(unit, 0)}f}"

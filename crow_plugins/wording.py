"""Times, sizes, numbers and lists as people read them: in the terminal, and in the Nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.cells import cell_len

TITLES = ("content", "title", "name", "key", "text")  # the fields that say best what a row is

MINUTE, HOUR, DAY = 60, 3600, 86_400


def ago(at: int | None, now: int) -> str:
    """How long something is past, or ahead: "just now", "3 min ago", "in 2 h"; with a date once it is a month."""
    if at is None:
        return "never"
    distance = now - at
    if abs(distance) < 10:
        return "just now"
    if abs(distance) >= 30 * DAY:
        return day(at)
    return f"{_span(distance)} ago" if distance > 0 else f"in {_span(-distance)}"


def duration(seconds: float) -> str:
    """How long something takes: "4 ms", "9 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def utc(at: int) -> datetime:
    """A time in the calendar. One of another machine may be any number: the calendar's first or last stands for it."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return (datetime.max if at > 0 else datetime.min).replace(tzinfo=UTC)


def day(at: int) -> str:
    """Year, month and day, in UTC."""
    return utc(at).date().isoformat()


def exact(at: int | None) -> str:
    """To the second, in UTC."""
    return "" if at is None else f"{utc(at):%Y-%m-%d %H:%M:%S UTC}"


def iso(at: int) -> str:
    """As machines read it."""
    return f"{utc(at):%Y-%m-%dT%H:%M:%SZ}"


def number(value: int) -> str:
    """With a thin space between thousands: 12 345."""
    return f"{value:,}".replace(",", "\u202f")


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    """Bytes in the unit that leaves few digits."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def called(data: Mapping[str, object], row_id: str) -> str:
    """What stands for a row in a list: its most telling field on one line, else its id."""
    told = (data.get(name) for name in TITLES)
    return next((" ".join(text.split()) for text in told if isinstance(text, str) and text.strip()), row_id)


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], figures: frozenset[int] = frozenset()) -> str:
    """A table for a terminal, without lines around it; columns whose number is in `figures` line up at the right."""
    every = [list(heads), *map(list, rows)]
    widths = [max(cell_len(row[number]) for row in every) for number in range(len(heads))]
    return "\n".join(_line(row, widths, figures) for row in every)


def _line(row: Sequence[str], widths: Sequence[int], figures: frozenset[int]) -> str:
    cells = []
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - cell_len(cell))
        cells.append(space + cell if number in figures else cell + space)
    return "  ".join(cells).rstrip()


def _span(seconds: int) -> str:
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    if seconds < 2 * DAY:
        return f"{seconds // HOUR} h"
    return f"{seconds // DAY} days"

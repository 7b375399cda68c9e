"""What a set of entries makes true of a row, worked out from its meaning alone: no vector is joined, no state kept.

A version is live that no entry covers, unless that entry names it as left open. The one shown is the highest that is
here; every other live one of other content is in conflict with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from crow_hooks import Data, Entry, Version

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Expected:
    """A row: the text shown (None where it is deleted), and lamports of each open conflict, the shown one first."""

    text: object
    conflicts: frozenset[tuple[int, int]]


def expected(entries: Iterable[Entry]) -> dict[Row, Expected]:
    by_row: dict[Row, dict[Version, Entry]] = defaultdict(dict)
    for entry in entries:
        by_row[entry.table, entry.row_id][entry.version] = entry
    return {row: _row(found) for row, found in by_row.items()}


def _row(entries: dict[Version, Entry]) -> Expected:
    live = [
        entry for version, entry in entries.items() if not any(_covers(other, version) for other in entries.values())
    ]
    if not live:
        return Expected(None, frozenset())
    shown = max(live, key=lambda entry: (not entry.deleted, entry.version.lamport, entry.version.writer))
    differing = [other for other in live if _content(other) != _content(shown)]
    lamports = frozenset((shown.version.lamport, other.version.lamport) for other in differing)
    return Expected(None if shown.deleted else shown.data["text"], lamports)


def _covers(entry: Entry, version: Version) -> bool:
    if version == entry.version or version in entry.open:
        return False
    known = max(entry.vv.get(version.writer, 0), entry.version.lamport if version.writer == entry.version.writer else 0)
    return version.lamport <= known


def _content(entry: Entry) -> Data | None:
    return None if entry.deleted else {name: value for name, value in entry.data.items() if name != "updated_at"}

"""Where entries stand: by row, for its history, and by dot, so that no dot ever names two writes.

Writers are kept as small numbers, since a name of fifty bytes would be most of an index over dots.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import peewee

from crow_hooks import Entry, Version


@dataclass(frozen=True, slots=True)
class Place:
    """A block: the number of its feed, and its seq."""

    feed: int
    seq: int


class EntryIndex:
    """The index within one transaction; what it knows of writers is forgotten with it.

    What is added is written with `flush`, or when it is asked for.
    """

    def __init__(self, db: peewee.Database) -> None:
        self._db = db
        self._writers: dict[str, tuple[int, int]] = {}
        self._added: list[tuple[str, str, int, int, int, int]] = []

    def add(self, table: str, row_id: str, version: Version, place: Place) -> None:
        number, highest = self._writer(version.writer)
        if version.lamport > highest:
            self._writers[version.writer] = number, version.lamport
        self._added.append((table, row_id, place.feed, place.seq, number, version.lamport))

    def flush(self) -> None:
        """Write what was added: one statement for many entries costs a fraction of one for each."""
        if not self._added:
            return
        connection: Any = self._db.connection()
        connection.executemany(
            "INSERT OR IGNORE INTO feed_entries (table_name, row_id, feed, seq, writer, lamport) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            self._added,
        )
        self._added.clear()

    def places(self, version: Version) -> list[Place]:
        """The blocks in which a dot stands; most often none or one."""
        known = self._known_writer(version.writer)
        if known is None or version.lamport > known[1]:
            return []
        self.flush()
        number, _ = known
        rows = self._db.execute_sql(
            "SELECT feed, seq FROM feed_entries WHERE writer = ? AND lamport = ?", (number, version.lamport)
        )
        return [Place(*row) for row in rows]

    def settled(self, version: Version) -> list[Place]:
        """Those of them that are beyond dispute: of feeds of which nobody has shown another branch there."""
        places = self.places(version)
        if not places:
            return []
        disputed = dict(self._db.execute_sql("SELECT feed, common FROM disputes").fetchall())
        return [place for place in places if place.seq < disputed.get(place.feed, place.seq + 1)]

    def has(self, version: Version) -> bool:
        """Whether an entry stands in a feed, or waits to be appended to ours."""
        waiting = "SELECT 1 FROM outbox WHERE writer = ? AND lamport = ?"
        return bool(self.places(version)) or bool(self._db.execute_sql(waiting, astuple(version)).fetchone())

    def history(self, table: str, row_id: str) -> list[Place]:
        """The blocks that hold entries of a row."""
        self.flush()
        rows = self._db.execute_sql(
            "SELECT feed, seq FROM feed_entries WHERE table_name = ? AND row_id = ?", (table, row_id)
        )
        return [Place(*row) for row in rows]

    def remove(self, entry: Entry, place: Place) -> None:
        self._note_gone()
        self._db.execute_sql(
            "DELETE FROM feed_entries WHERE table_name = ? AND row_id = ? AND feed = ? AND seq = ?",
            (entry.table, entry.row_id, place.feed, place.seq),
        )

    def cut(self, place: Place) -> None:
        """Remove what stands in a feed from a place on, read or not: one look at all that is indexed, and seldom."""
        self._note_gone()
        self._db.execute_sql("DELETE FROM feed_entries WHERE feed = ? AND seq >= ?", (place.feed, place.seq))

    def _note_gone(self) -> None:
        """Before some are removed: that a name was given is never forgotten."""
        self.flush()
        reach = "SELECT lamport FROM writer_reach WHERE writer_reach.number = writers.number"
        self._db.execute_sql(f"UPDATE writers SET gone = ({reach})")

    def _writer(self, name: str) -> tuple[int, int]:
        known = self._known_writer(name)
        if known is None:
            self._db.execute_sql("INSERT INTO writers (name) VALUES (?)", (name,))
            return self._writer(name)
        return known

    def _known_writer(self, name: str) -> tuple[int, int] | None:
        known = self._writers.get(name)
        if known is None:
            known = self._db.execute_sql("SELECT number, lamport FROM writer_reach WHERE name = ?", (name,)).fetchone()
            if known is not None:
                self._writers[name] = known
        return known

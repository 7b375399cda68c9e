"""What the feeds tell of one row: all its entries, and what two concurrent versions of it go back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import peewee

from crow_hooks import Conflict, Data, Entry, Version
from crow_plugins.replicator.entries import EntryIndex
from crow_plugins.replicator.entry import Read, Unreadable, read
from crow_plugins.replicator.feed_storage import block_at


def entries_of(db: peewee.Database, table: str, row_id: str) -> list[Entry]:
    """Every entry of a row that stands in a feed, each once, in the order of their names."""
    found: dict[tuple[int, str], Entry] = {}
    for place in EntryIndex(db).history(table, row_id):
        try:
            entry = read(block_at(db, place.feed, place.seq)).entry
        except Unreadable:
            continue
        found[entry.version.lamport, entry.version.writer] = entry
    return [found[name] for name in sorted(found)]


def standing(db: peewee.Database, index: EntryIndex, table: str, row_id: str) -> list[Entry]:
    """What a row is made of: its entries in the feeds, and those that wait to be appended to ours, or to be rescued."""
    waiting = db.execute_sql("SELECT entry FROM outbox UNION ALL SELECT entry FROM orphans").fetchall()
    blocks = (block_at(db, place.feed, place.seq) for place in index.history(table, row_id))
    entries = {found.entry.version: found.entry for found in readable([*(entry for (entry,) in waiting), *blocks])}
    return [entry for entry in entries.values() if (entry.table, entry.row_id) == (table, row_id)]


def readable(blocks: Iterable[bytes]) -> Iterator[Read]:
    for block in blocks:
        try:
            yield read(block)
        except Unreadable:
            continue


def ancestor(db: peewee.Database, conflict: Conflict) -> Data | None:
    """The newest image that both sides of a conflict had seen; None where there is none, or it was deleted."""
    entries = {entry.version: entry for entry in entries_of(db, conflict.table, conflict.row_id)}
    local, remote = entries.get(conflict.local_version), entries.get(conflict.remote_version)
    if local is None or remote is None:
        return None
    common = [
        entry
        for version, entry in entries.items()
        if _had_seen(local.vv, version) and _had_seen(remote.vv, version) and version not in (*local.open, *remote.open)
    ]
    if not common or common[-1].deleted:
        return None
    return common[-1].data


def _had_seen(vv: Mapping[str, int], version: Version) -> bool:
    return version.lamport <= vv.get(version.writer, 0)

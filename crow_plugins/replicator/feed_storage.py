"""A feed in the database: blocks, tree nodes and the head, in whatever transaction the caller is in.

Nothing is remembered between calls, so a transaction that rolls back leaves nothing behind. Which rows there are is
`feed_schema`'s; what they must say is the feed's own business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee

from crow_plugins.feed import Batch, Head, Node, flat_tree
from crow_plugins.feed.errors import StorageDamaged, WrongState
from crow_plugins.feed.head import EMPTY
from crow_plugins.feed.held import Held

FEED_BITS = 40  # below a feed's number: flat indexes reach twice the longest feed
FEW = 24  # that many keys are bound one by one, more go as one JSON list


@dataclass(frozen=True, slots=True)
class HeldFeed:
    """A feed that is held here: its number and key, whose it is, and what is wrong with it, if anything is.

    `disputed`: two branches of it are known under its fork, see `disputes`.
    """

    number: int
    key: bytes
    instance_id: str
    manifest: bytes | None
    fork: int
    length: int
    contiguous: int
    frozen: str | None
    disputed: bool


_HELD = (
    "SELECT number, key, instance_id, manifest, fork, length, contiguous, frozen, "
    "EXISTS (SELECT 1 FROM disputes WHERE disputes.feed = feeds.number) FROM feeds"
)


def find_feed(db: peewee.Database, key: bytes) -> int | None:
    """The number of a feed, if it is held here."""
    row = db.execute_sql("SELECT number FROM feeds WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else None


def add_feed(db: peewee.Database, key: bytes, manifest: bytes | None, instance_id: str) -> int:
    """Begin to hold a feed; returns its number."""
    db.execute_sql("INSERT INTO feeds (key, manifest, instance_id) VALUES (?, ?, ?)", (key, manifest, instance_id))
    number = find_feed(db, key)
    assert number is not None
    return number


def all_feeds(db: peewee.Database) -> list[HeldFeed]:
    return [HeldFeed(*row) for row in db.execute_sql(f"{_HELD} ORDER BY number").fetchall()]


def held_feed(db: peewee.Database, number: int) -> HeldFeed:
    return HeldFeed(*db.execute_sql(f"{_HELD} WHERE number = ?", (number,)).fetchone())


def freeze(db: peewee.Database, number: int, reason: str | None) -> None:
    """Mark a feed with what is wrong with it, or, without a reason, say that all is well again."""
    db.execute_sql("UPDATE feeds SET frozen = ? WHERE number = ?", (reason, number))


def block_at(db: peewee.Database, feed: int, seq: int) -> bytes:
    """A block that is held. Raises `StorageDamaged` if it is not."""
    row = db.execute_sql("SELECT value FROM feed_blocks WHERE id = ?", ((feed << FEED_BITS) + seq,)).fetchone()
    if row is None or row[0] is None:
        raise StorageDamaged(f"block {seq} is not there")
    return bytes(row[0])


class DatabaseStorage:
    """One feed's place; see `crow_plugins.feed.Storage`."""

    def __init__(self, db: peewee.Database, feed: int) -> None:
        self._db, self.feed = db, feed
        self._base = feed << FEED_BITS

    def head(self) -> Head:
        return self._reach()[0]

    def _reach(self) -> tuple[Head, int]:
        """The head, and the first block that is not here."""
        *head, contiguous = self._row("fork, length, byte_length, tree_hash, signature, contiguous")
        return EMPTY if head[3] is None else Head(*head), contiguous

    def manifest(self) -> bytes | None:
        value: bytes | None = self._row("manifest")[0]
        return value

    def contiguous(self) -> int:
        """All blocks before it are here."""
        return int(self._row("contiguous")[0])

    def nodes(self, indexes: Iterable[int]) -> Mapping[int, Node]:
        base, wanted = self._base, list(indexes)
        leaves = [base + (index >> 1) for index in wanted if not index & 1]
        parents = [base + index for index in wanted if index & 1]
        found = {
            index: Node(index, size, hash)
            for id, size, hash in self._rows("SELECT id, size, hash FROM feed_nodes WHERE id IN", parents)
            for index in (id - base,)
        }
        for id, size, hash in self._rows("SELECT id, size, hash FROM feed_blocks WHERE id IN", leaves):
            index = 2 * (id - base)
            found[index] = Node(index, size, hash)
        return found

    def blocks(self, seqs: Iterable[int]) -> Mapping[int, bytes]:
        base = self._base
        if isinstance(seqs, range) and seqs.step == 1:
            rows = self._db.execute_sql(
                "SELECT id, value FROM feed_blocks WHERE id >= ? AND id < ? AND value IS NOT NULL",
                (base + seqs.start, base + seqs.stop),
            ).fetchall()
        else:
            wanted = [base + seq for seq in seqs]
            rows = list(self._rows("SELECT id, value FROM feed_blocks WHERE value IS NOT NULL AND id IN", wanted))
        return {id - base: value for id, value in rows}

    def held(self) -> Held:
        held, contiguous = Held(), self.contiguous()
        held.add(0, contiguous)
        held.add_all(self._beyond(contiguous))
        return held

    def store(self, batch: Batch) -> None:
        head, contiguous = self._reach()
        if batch.base != head:
            raise WrongState("the feed has changed since this was worked out")
        if batch.cut is not None:
            self._cut(batch.cut)
            contiguous = self.contiguous()
        self._put(batch)
        self._advance(batch, contiguous)

    # ---- below ----------------------------------------------------------------------------------

    def _row(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._db.execute_sql(
            f"SELECT {columns} FROM feeds WHERE number = ?", (self.feed,)
        ).fetchone()
        return row

    def _rows(self, sql: str, ids: list[int]) -> Iterator[tuple[Any, ...]]:
        """Rows by their ids; `sql` ends in IN."""
        if not ids:
            return
        if len(ids) <= FEW:
            yield from self._db.execute_sql(f"{sql} ({', '.join('?' * len(ids))})", ids)
        else:
            yield from self._db.execute_sql(f"{sql} (SELECT value FROM json_each(?))", (json.dumps(ids),))

    def _beyond(self, contiguous: int) -> Iterator[int]:
        base = self._base
        rows = self._db.execute_sql(
            "SELECT id FROM feed_blocks WHERE id >= ? AND id < ? AND value IS NOT NULL ORDER BY id",
            (base + contiguous, base + (1 << FEED_BITS)),
        )
        return (id - base for (id,) in rows.fetchall())

    def _put(self, batch: Batch) -> None:
        """Leaves with their blocks, parents by themselves."""
        base, blocks = self._base, batch.blocks
        leaves, parents = [], []
        for index, size, hash in batch.nodes:
            if index & 1:
                parents.append((base + index, size, hash))
            else:
                leaves.append((base + (index >> 1), size, hash, blocks.get(index >> 1)))
        known = {id for id, *_ in leaves}
        run = self._run_each
        run(
            "INSERT INTO feed_blocks (id, size, hash, value) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET size = excluded.size, hash = excluded.hash, "
            "value = coalesce(excluded.value, value)",
            leaves,
        )
        run("INSERT OR REPLACE INTO feed_nodes (id, size, hash) VALUES (?, ?, ?)", parents)
        bare = [(value, base + seq) for seq, value in blocks.items() if base + seq not in known]
        run("UPDATE feed_blocks SET value = ? WHERE id = ?", bare)  # the leaf came before its block

    def _advance(self, batch: Batch, contiguous: int) -> None:
        """The head and the manifest, and how far the blocks reach now; before, it was up to `contiguous`."""
        blocks, length = batch.blocks, (batch.head or batch.base).length
        if contiguous in blocks:
            while contiguous in blocks:
                contiguous += 1
            for seq in self._beyond(contiguous) if contiguous < length else ():
                if seq != contiguous:
                    break
                contiguous += 1
        head = batch.head
        if head is None:
            self._db.execute_sql(
                "UPDATE feeds SET contiguous = ?, manifest = coalesce(?, manifest) WHERE number = ?",
                (contiguous, batch.manifest, self.feed),
            )
            return
        self._db.execute_sql(
            "UPDATE feeds SET contiguous = ?, manifest = coalesce(?, manifest), fork = ?, length = ?, byte_length = ?, "
            "tree_hash = ?, signature = ? WHERE number = ?",
            (
                *(contiguous, batch.manifest, head.fork, head.length, head.byte_length),
                *(head.tree_hash, head.signature, self.feed),
            ),
        )

    def _cut(self, length: int) -> None:
        base, end = self._base, self._base + (1 << FEED_BITS)
        self._db.execute_sql("DELETE FROM feed_blocks WHERE id >= ? AND id < ?", (base + length, end))
        self._db.execute_sql("DELETE FROM feed_nodes WHERE id >= ? AND id < ?", (base + 2 * length, end))
        crossing = [(base + index,) for index in flat_tree.crossing(length)]
        self._run_each("DELETE FROM feed_nodes WHERE id = ?", crossing)
        self._db.execute_sql("UPDATE feeds SET contiguous = min(contiguous, ?) WHERE number = ?", (length, self.feed))

    def _run_each(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """One statement for many rows, for which peewee has no call."""
        connection: Any = self._db.connection()
        connection.executemany(sql, rows)


class ReadOnce(DatabaseStorage):
    """The same where nobody else changes the feed, within a read transaction or one append: its row is read once."""

    def __init__(self, db: peewee.Database, feed: int) -> None:
        super().__init__(db, feed)
        self._reached: tuple[Head, int] | None = None
        self._held: Held | None = None

    def contiguous(self) -> int:
        return self._reach()[1]

    def held(self) -> Held:
        if self._held is None:
            self._held = super().held()
        return self._held

    def store(self, batch: Batch) -> None:
        super().store(batch)
        self._reached = self._held = None

    def _reach(self) -> tuple[Head, int]:
        if self._reached is None:
            self._reached = super()._reach()
        return self._reached

    def _cut(self, length: int) -> None:
        super()._cut(length)
        self._reached = None

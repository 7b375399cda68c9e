"""A certified instance that means harm, the one it would harm, and everything that one keeps."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

from crow_hooks import Change, Version
from crow_plugins.replicator.entry import written
from crow_plugins.testing import Chain, Instance

Row = tuple[object, ...]
Everything = dict[str, list[Row]]

EPOCH = "0123456789ab"
MEMORY: Mapping[str, object] = {
    "content": "harmless",
    "category": "general",
    "importance": 5,
    "tags": [],
    "context": None,
    "source": None,
    "project_id": None,
    "origin_instance": "somewhere",
    "created_at": 1,
    "updated_at": 1,
}
ROW = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

# What a feed that is held may change whatever stands in it: its own blocks and head, how far it was taken in, what of
# it is parked. Nothing else, and in these tables no row of anybody else.
OF_THE_FEED = {
    "feeds": "instance_id IS NOT :instance",
    "feed_blocks": "id >> 40 IS NOT :feed",
    "feed_nodes": "id >> 40 IS NOT :feed",
    "parked_entries": "feed IS NOT :feed",
    "sync_state": "instance_id IS NOT :instance",
    "sync_progress": "instance_id IS NOT :instance",
}


# What an entry that is applied may change besides its row: what is known of that row, its place in the search, and the
# clock with what follows it.
ABOUT_ROWS = frozenset({"row_versions", "sync_conflicts", "feed_entries"})
COUNTED = frozenset({"clock", "writers"})


@dataclass
class Attack:
    """`magpie` writes into its own feed whatever it likes; `swan` takes it in."""

    chain: Chain
    magpie: Instance
    swan: Instance
    lamports: Iterator[int] = field(default_factory=lambda: count(1_000_000))  # none is given twice

    def entry(self, lamport: int = 100, **fields: object) -> dict[str, Any]:
        """What an honest writer would make of a memory, with some fields of it changed."""
        change = Change(
            "memory_insert",
            "memories",
            ROW,
            MEMORY,
            Version(f"{self.magpie.id}.{EPOCH}", lamport),
            {},
            (),
            1,
            by="assistant",
        )
        return {**json.loads(written(change)), **fields}

    def send(self, *blocks: bytes) -> None:
        """Sign them, append them, and wait until swan has dealt with them."""
        sync = self.magpie.sync
        with self.magpie.host.transaction() as transaction:
            sync.own.append(transaction.db, blocks)
            transaction.after_commit(sync._own_grew)
        self.chain.settle()

    def parked(self) -> list[str]:
        """Why swan parked what it parked, in the order of the feed."""
        return [str(reason) for (reason,) in self.swan.rows("SELECT reason FROM parked_entries ORDER BY feed, seq")]

    def everything(self) -> Everything:
        """All that swan keeps in its database and in files beside it, but for what is of magpie's own feed."""
        self.swan.sync._mending.seal()  # of what it told before, which is on the disk a moment later
        tables = self.swan.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        )
        feed = self.swan.rows("SELECT number FROM feeds WHERE instance_id = ?", self.magpie.id)
        named = {"instance": self.magpie.id, "feed": feed[0][0] if feed else None}
        found: Everything = {}
        with self.swan.host.read() as db:
            for (name,) in tables:
                query = f"SELECT * FROM {name} WHERE {OF_THE_FEED.get(name, 'true')}"
                found[name] = sorted(map(tuple, db.execute_sql(query, named).fetchall()), key=repr)
        for path in self.swan.home.rglob("*"):
            # The seal of swan's own feed is written some moments after swan's own commits, whatever others do.
            if path.is_file() and not path.name.startswith(("crow.db", "feed.seal")):
                found[f"file {path.relative_to(self.swan.home)}"] = [(path.read_bytes(),)]
        return found


def as_block(fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def changed(before: Everything, after: Everything) -> dict[str, list[Row]]:
    """The rows that are on one side only, by table or file."""
    return {
        name: sorted(set(before.get(name, ())) ^ set(after.get(name, ())), key=repr)
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }


def outside(found: dict[str, list[Row]], rows: Collection[tuple[str, str]]) -> dict[str, list[Row]]:
    """What changed besides these rows, given by table and id, and what is known of them."""
    tables = {table for table, _ in rows}
    return {
        name: wrong
        for name, each in found.items()
        if name not in COUNTED and not any(name.startswith(f"{table}_fts") for table in tables)
        if (wrong := [row for row in each if not _is_of(name, row, rows)])
    }


def _is_of(name: str, row: Row, rows: Collection[tuple[str, str]]) -> bool:
    """Whether a row of a table is one of these rows, or says what is known of one."""
    if name in ABOUT_ROWS:
        return any(pair in rows for pair in pairwise(row))
    return any((name, value) in rows for value in row)

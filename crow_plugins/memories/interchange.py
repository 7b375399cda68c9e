"""Memories out and in as JSON objects, one a memory, with everything that travels.

What was exported and is imported again is the same: ids, times and origin are kept. A record whose id is here
already is skipped if equal, and refused if not: an import never overwrites.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from peewee import Database

from crow_hooks import Crow, CrowError, Data, Format, Invalid, Skipped, Transaction
from crow_plugins.memories.memories import get, insert, new_row
from crow_plugins.memories.memory import COLUMNS, memory_of
from crow_plugins.memories.memory import FIELDS as GIVEN

BATCH = 1000  # rows a transaction: one sync of the disk for all of them
KEPT = ("origin_instance", "created_at", "updated_at")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _DryRun(Exception):
    """Ends a transaction that was only a rehearsal."""


def memory_format(crow: Crow) -> Format:
    return Format("memories", ("memory",), lambda: export(crow), lambda records, dry_run: take(crow, records, dry_run))


def export(crow: Crow) -> Iterator[Data]:
    """Every memory, oldest first."""
    after = 0
    while True:
        with crow.read() as db:
            rows = db.execute_sql(
                f"SELECT {', '.join(COLUMNS)}, number FROM memories WHERE number > ? ORDER BY number LIMIT ?",
                (after, BATCH),
            ).fetchall()
        for row in rows:
            record = asdict(memory_of(row[:-1]))
            record.pop("lamport_ts")
            yield {"kind": "memory", **record, "tags": list(record["tags"])}
        if len(rows) < BATCH:
            return
        after = rows[-1][-1]


def take(crow: Crow, records: Iterable[Data], dry_run: bool) -> Iterator[Skipped | None]:
    """Import in batches of one transaction each; yields after the batch is committed."""
    numbered = enumerate(records, 1)
    while batch := list(itertools.islice(numbered, BATCH)):
        results: list[Skipped | None] = []
        try:
            with crow.transaction() as transaction:
                results = [_take_one(crow, transaction, position, record) for position, record in batch]
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        yield from results


def _take_one(crow: Crow, transaction: Transaction, position: int, record: Data) -> Skipped | None:
    try:
        row_id, row = _row(crow, record, transaction.now)
        if _is_here(transaction.db, row_id):
            return _difference(transaction.db, position, row_id, row)
    except CrowError as error:
        return Skipped(position, str(error))
    insert(transaction, row_id, row, by="import")
    return None


def _row(crow: Crow, record: Data, now: int) -> tuple[str, dict[str, object]]:
    given = {name: record[name] for name in GIVEN if record.get(name) is not None}
    row = new_row(crow, given, now)
    for name in KEPT:
        if record.get(name) is not None:
            row[name] = _kept(name, record[name])
    row_id = record.get("id", str(uuid.uuid4()))
    if not isinstance(row_id, str) or not UUID.fullmatch(row_id):
        raise Invalid("id is not a UUID; leave it out to have one made")
    return row_id, row


def _kept(name: str, value: object) -> object:
    if name == "origin_instance":
        if isinstance(value, str) and UUID.fullmatch(value):
            return value
        raise Invalid("origin_instance is not a UUID; leave it out")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    raise Invalid(f"{name} is not a time in unix seconds; leave it out")


def _is_here(db: Database, row_id: str) -> bool:
    return db.execute_sql("SELECT 1 FROM memories WHERE id = ?", (row_id,)).fetchone() is not None


def _difference(db: Database, position: int, row_id: str, row: Data) -> Skipped:
    here = asdict(get(db, row_id))
    if all((list(here[name]) if name == "tags" else here[name]) == row[name] for name in GIVEN):
        return Skipped(position, "is here already", here=True)
    return Skipped(position, f"memory {row_id} is here with other content; change it or give it a new id")

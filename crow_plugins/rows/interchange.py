"""Rows of one kind out and in as JSON objects, one a row, with everything that travels.

What was exported and is imported again is the same: ids, times and origin are kept. A record whose id is here
already is skipped if equal, and refused if not: an import never overwrites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from crow_hooks import Crow, CrowError, Data, Format, Invalid, Skipped, Transaction, new_row_id
from crow_plugins.rows.batches import in_batches
from crow_plugins.rows.keeping import find_all
from crow_plugins.rows.kind import Kind, Record

BATCH = 2000  # rows a transaction: one sync of the disk for all of them
KEPT = ("origin_instance", "created_at", "updated_at")
SECONDS_MAX = 253_402_300_799  # the last second of the year 9999
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def rows_format(crow: Crow, kind: Kind[Record]) -> Format:
    """What `register_formats` answers for a kind."""
    return Format(
        kind.table,
        (kind.name,),
        lambda: export(crow, kind),
        lambda records, dry_run: take(crow, kind, records, dry_run),
    )


def export(crow: Crow, kind: Kind[Record]) -> Iterator[Data]:
    """Every row, oldest first."""
    after = 0
    while True:
        with crow.read() as db:
            rows = db.execute_sql(
                f"SELECT {', '.join(kind.columns)}, rowid FROM {kind.table} WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (after, BATCH),
            ).fetchall()
        for row in rows:
            yield {"kind": kind.name, **_record_of(kind, kind.read(row[:-1]))}
        if len(rows) < BATCH:
            return
        after = rows[-1][-1]


def take(crow: Crow, kind: Kind[Record], records: Iterable[Data | Skipped], dry_run: bool) -> Iterator[Skipped | None]:
    """Import in batches of one transaction each; yields after the batch is committed.

    Among the records may stand what a reader of another format had to leave out already.
    """
    return in_batches(
        crow,
        records,
        lambda transaction, batch: _take_all(crow, kind, transaction, batch),
        rows=BATCH,
        dry_run=dry_run,
    )


def exported_name(kind: Kind[Record], field: str) -> str:
    """`kind` says whose record it is; a field of that name stands under another one."""
    return f"{kind.name}_kind" if field == "kind" else field


def _record_of(kind: Kind[Record], record: Record) -> dict[str, object]:
    values = asdict(record)  # type: ignore[call-overload]  # a kind's record is a dataclass
    return {exported_name(kind, name): _plain(values[name]) for name in kind.columns if name != "lamport_ts"}


def _take_all(
    crow: Crow, kind: Kind[Record], transaction: Transaction, batch: Sequence[tuple[int, Data | Skipped]]
) -> list[Skipped | None]:
    """What became of each; those that are new are written together."""
    rows = [_row_or_not(crow, kind, transaction.now, position, record) for position, record in batch]
    here = find_all(transaction.db, kind, [row[0] for row in rows if not isinstance(row, Skipped)])
    known: dict[str, Data] = {row_id: _said(kind, record) for row_id, record in here.items()}
    fresh: dict[str, Data] = {}
    results: list[Skipped | None] = []
    for (position, _), found in zip(batch, rows, strict=True):
        if isinstance(found, Skipped):
            results.append(found)
            continue
        row_id, row = found
        if row_id in known:
            results.append(_difference(kind, position, row_id, known[row_id], row))
            continue
        known[row_id] = fresh[row_id] = row
        results.append(None)
    transaction.insert(kind.changes[0], kind.table, fresh, by="import")
    return results


def _row_or_not(
    crow: Crow, kind: Kind[Record], now: int, position: int, record: Data | Skipped
) -> tuple[str, dict[str, object]] | Skipped:
    if isinstance(record, Skipped):
        return record
    try:
        return _row(crow, kind, record, now)
    except CrowError as error:
        return Skipped(position, str(error))


def _row(crow: Crow, kind: Kind[Record], record: Data, now: int) -> tuple[str, dict[str, object]]:
    by_name = {name: record.get(exported_name(kind, name)) for name in kind.names}
    given = {name: value for name, value in by_name.items() if value is not None}
    row = kind.new(given, origin=crow.instance.id, now=now)
    for name in KEPT:
        if record.get(name) is not None:
            row[name] = _kept(name, record[name])
    row_id = record["id"] if "id" in record else new_row_id()
    if not isinstance(row_id, str) or not UUID.fullmatch(row_id):
        raise Invalid("id is not a UUID; leave it out to have one made")
    return row_id, row


def _kept(name: str, value: object) -> object:
    if name == "origin_instance":
        if isinstance(value, str) and UUID.fullmatch(value):
            return value
        raise Invalid("origin_instance is not a UUID; leave it out")
    return unix_seconds(name, value)


def unix_seconds(name: str, value: object) -> int:
    """A time as a file has it: what no calendar has is a time in another unit. Raises `Invalid`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX:
        return value
    raise Invalid(f"{name} is not a time in unix seconds; leave it out")


def _difference(kind: Kind[Record], position: int, row_id: str, here: Data, row: Data) -> Skipped:
    if all(here[name] == row[name] for name in kind.names):
        return Skipped(position, "is here already", here=True)
    return Skipped(position, f"{kind.name} {row_id} is here with other content; change it or give it a new id")


def _said(kind: Kind[Record], record: Record) -> Data:
    """What a person said of a row."""
    return {name: _plain(getattr(record, name)) for name in kind.names}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

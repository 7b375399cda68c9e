"""Shared settings out and in as JSON objects, one a setting. Local ones belong to their machine and stay.

An import never overwrites: a key that is here is skipped if its value is equal, and refused if not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from crow_hooks import Crow, CrowError, Data, Format, Skipped, Transaction
from crow_plugins.rows import in_batches, unix_seconds
from crow_plugins.settings.setting import checked_key, stored, value_of
from crow_plugins.settings.settings import write_shared

BATCH = 1000  # rows a transaction: one sync of the disk for all of them


def setting_format(crow: Crow) -> Format:
    return Format("settings", ("setting",), lambda: export(crow), lambda records, dry_run: take(crow, records, dry_run))


def export(crow: Crow) -> Iterator[Data]:
    """Every shared setting, by key."""
    after = ""
    while True:
        with crow.read() as db:
            rows = db.execute_sql(
                "SELECT key, value, updated_at FROM settings WHERE key > ? ORDER BY key LIMIT ?", (after, BATCH)
            ).fetchall()
        for key, value, updated_at in rows:
            yield {"kind": "setting", "key": key, "value": value_of(value), "updated_at": updated_at}
        if len(rows) < BATCH:
            return
        after = rows[-1][0]


def take(crow: Crow, records: Iterable[Data], dry_run: bool) -> Iterator[Skipped | None]:
    """Import in batches of one transaction each; yields after the batch is committed."""
    return in_batches(
        crow,
        records,
        lambda transaction, batch: [_take_one(transaction, position, record) for position, record in batch],
        rows=BATCH,
        dry_run=dry_run,
    )


def _take_one(transaction: Transaction, position: int, record: Data) -> Skipped | None:
    try:
        key, text = checked_key(record.get("key")), stored(record.get("value"))
        updated_at = unix_seconds("updated_at", record.get("updated_at", transaction.now))
    except CrowError as error:
        return Skipped(position, str(error))
    here = transaction.db.execute_sql("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    if here is None:
        write_shared(transaction, key, text, updated_at, by="import")
        return None
    if _sorted(here[0]) == _sorted(text):
        return Skipped(position, "is here already", here=True)
    return Skipped(position, f"setting {key} is here with another value; change it here, or leave it out")


def _sorted(text: str) -> str:
    """Equal for equal values only: as Python has it, true equals 1."""
    return json.dumps(json.loads(text), sort_keys=True)

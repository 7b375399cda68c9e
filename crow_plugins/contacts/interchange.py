"""Contacts out and in: as JSON objects with everything that travels, and as vCards.

What was exported and is imported again is the same. A contact whose id is here already is skipped if equal, and refused
if not: an import never overwrites.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from crow_hooks import Crow, CrowError, Data, Format, Invalid, Skipped, Transaction
from crow_plugins.contacts import vcard
from crow_plugins.contacts.contact import EMPTY, FIELDS, JSON, SELECT, Contact, contact_of
from crow_plugins.contacts.contacts import get, insert, new_row

BATCH = 500  # rows a transaction: one sync of the disk for all of them
KEPT = ("origin_instance", "created_at", "updated_at")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Given = TypeVar("Given")


class _DryRun(Exception):
    """Ends a transaction that was only a rehearsal."""


@dataclass
class CardReport:
    """What became of the cards of a file; `left_out` counts properties that a contact has no place for."""

    imported: int = 0
    here: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def contact_format(crow: Crow) -> Format:
    return Format("contacts", ("contact",), lambda: export(crow), lambda records, dry_run: take(crow, records, dry_run))


def export(crow: Crow) -> Iterator[Data]:
    """Every contact, by name."""
    for contact in everyone(crow):
        record = asdict(contact)
        record.pop("lamport_ts")
        yield {"kind": "contact", **record, **{name: list(record[name]) for name in JSON}}


def export_cards(crow: Crow) -> Iterator[str]:
    return map(vcard.written, everyone(crow))


def everyone(crow: Crow) -> Iterator[Contact]:
    with crow.read() as db:
        rows = db.execute_sql(f"{SELECT} ORDER BY name COLLATE NOCASE, id").fetchall()
    return map(contact_of, rows)


def take(crow: Crow, records: Iterable[Data], dry_run: bool) -> Iterator[Skipped | None]:
    """Import in batches of one transaction each; yields after the batch is committed."""

    def one(transaction: Transaction, position: int, record: Data) -> Skipped | None:
        return _kept(crow, transaction, position, lambda: _row(crow, record, transaction.now))

    return _in_batches(crow, records, dry_run, one)


def take_cards(crow: Crow, data: bytes, dry_run: bool) -> CardReport:
    """Import the vCards of a file; each that cannot be taken is named by its number in the file, with the reason."""
    report = CardReport()

    def one(transaction: Transaction, position: int, card: bytes) -> Skipped | None:
        def row() -> tuple[str, dict[str, object]]:
            read = vcard.read(card)
            report.left_out.update(read.left_out)
            return read.row_id, new_row(crow, read.fields, transaction.now)

        return _kept(crow, transaction, position, row)

    for result in _in_batches(crow, vcard.cards(data), dry_run, one):
        report.imported += result is None
        report.here += result is not None and result.here
        if result is not None and not result.here:
            report.skipped.append(result)
    return report


def _in_batches(
    crow: Crow,
    given: Iterable[Given],
    dry_run: bool,
    one: Callable[[Transaction, int, Given], Skipped | None],
) -> Iterator[Skipped | None]:
    numbered = enumerate(given, 1)
    while batch := list(itertools.islice(numbered, BATCH)):
        results: list[Skipped | None] = []
        try:
            with crow.transaction() as transaction:
                results = [one(transaction, position, each) for position, each in batch]
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        yield from results


def _kept(
    crow: Crow, transaction: Transaction, position: int, made: Callable[[], tuple[str, dict[str, object]]]
) -> Skipped | None:
    try:
        row_id, row = made()
        if _is_here(transaction, row_id):
            return _difference(transaction, position, row_id, row)
    except CrowError as error:
        return Skipped(position, str(error))
    insert(transaction, row_id, row, by="import")
    return None


def _row(crow: Crow, record: Data, now: int) -> tuple[str, dict[str, object]]:
    given = {name: record[name] for name in FIELDS if record.get(name) is not None}
    row = new_row(crow, given, now)
    for name in KEPT:
        if record.get(name) is not None:
            row[name] = _as_it_was(name, record[name])
    row_id = record.get("id", str(uuid.uuid4()))
    if not isinstance(row_id, str) or not UUID.fullmatch(row_id):
        raise Invalid("id is not a UUID; leave it out to have one made")
    return row_id, row


def _as_it_was(name: str, value: object) -> object:
    if name == "origin_instance":
        if isinstance(value, str) and UUID.fullmatch(value):
            return value
        raise Invalid("origin_instance is not a UUID; leave it out")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    raise Invalid(f"{name} is not a time in unix seconds; leave it out")


def _is_here(transaction: Transaction, row_id: str) -> bool:
    return transaction.db.execute_sql("SELECT 1 FROM contacts WHERE id = ?", (row_id,)).fetchone() is not None


def _difference(transaction: Transaction, position: int, row_id: str, row: Mapping[str, object]) -> Skipped:
    here = asdict(get(transaction.db, row_id))
    if all((list(here[name]) if name in JSON else here[name]) == row[name] for name in ("name", *EMPTY)):
        return Skipped(position, "is here already", here=True)
    return Skipped(position, f"contact {row_id} is here with other content; change it or give it a new id")

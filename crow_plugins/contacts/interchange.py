"""Contacts out and in as vCards: a file of cards, or a folder of such files.

A card is known again by its UID: what was exported and is imported again is the same contact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crow_hooks import Crow, CrowError, Data, Invalid, Skipped
from crow_plugins.contacts import vcard
from crow_plugins.contacts.card_writing import written
from crow_plugins.contacts.contact import CONTACT
from crow_plugins.rows import Importer, take


def vcard_importer(crow: Crow) -> Importer:
    """`crow import FILE --format vcard`."""
    return Importer.of("vcard", "card", lambda path, dry_run: take(crow, CONTACT, _records(path), dry_run))


def export_cards(crow: Crow) -> Iterator[str]:
    """Every contact by name, one card each."""
    with crow.read() as db:
        rows = db.execute_sql(
            f"SELECT {', '.join(CONTACT.columns)} FROM contacts ORDER BY name COLLATE NOCASE, id"
        ).fetchall()
    return (written(CONTACT.read(row)) for row in rows)


def _records(path: Path) -> Iterator[Data | Skipped]:
    cards = (card for file in _files(path) for card in vcard.cards(file.read_bytes()))
    for position, data in enumerate(cards, 1):
        try:
            card = vcard.read(data)
        except CrowError as error:
            yield Skipped(position, str(error))
        else:
            yield {"id": card.row_id, **card.fields}


def _files(path: Path) -> list[Path]:
    """A file, or those of a folder and below; what links lead to is left alone. Raises `Invalid`."""
    if not path.is_dir():
        return [path]
    found = (file for file in path.rglob("*") if file.suffix.lower() in (".vcf", ".vcard"))
    files = sorted(file for file in found if file.is_file() and not file.is_symlink())
    if not files:
        raise Invalid("the folder holds no .vcf file; name one that does")
    return files

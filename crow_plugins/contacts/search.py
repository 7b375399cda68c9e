"""Finding a contact by what one remembers: beginnings of words, or a number in whatever way it is written.

Words of the query begin words of the contact: all of them, else any; a hit in the name counts most. A query of digits
is compared with the ends of numbers, so that the country code and spaces make no difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from peewee import Database

from crow_hooks import SearchHit, SearchKind
from crow_plugins.contacts.contact import CONTACT, Contact
from crow_plugins.rows import Condition, where

WORDS_MAX = 24  # of a text pasted whole, the first ones say enough
WEIGHTS = "10.0, 5.0, 3.0, 3.0, 1.0"  # of name, emails, work, tags, notes
DIGITS_MIN = 4  # fewer end too many numbers
SCANNED = "lower(name || ' ' || coalesce(organisation, '') || ' ' || coalesce(notes, ''))"
ROW = ", ".join(f"contacts.{column}" for column in CONTACT.columns)


@dataclass(frozen=True, slots=True)
class Hit:
    """A contact that matched, and how well: above zero, comparable within one answer."""

    contact: Contact
    score: float


def search(db: Database, query: str, conditions: Sequence[Condition], *, limit: int) -> list[Hit]:
    """Best first; any text is a query. Conditions name their columns with the table."""
    narrowed, values = where(conditions)
    if _is_number(query):
        return _by_number(db, re.sub(r"\D", "", query), narrowed, values)[:limit]
    words = re.findall(r"[^\W_]+", query.replace("\0", " "))[:WORDS_MAX]
    if not words:
        return []
    begun = [f'"{word}"*' for word in words]
    return (
        _by_words(db, " AND ".join(begun), narrowed, values, limit)
        or _containing(db, words, narrowed, values, limit)
        or _by_words(db, " OR ".join(begun), narrowed, values, limit)
    )


def search_kind() -> SearchKind:
    def find(db: Database, query: str, limit: int) -> list[SearchHit]:
        return [_search_hit(hit) for hit in search(db, query, (), limit=limit)]

    return SearchKind("contact", find)


def said(contact: Contact) -> str:
    """A contact in one line, without the name."""
    return in_a_line(
        [
            *(email["address"] for email in contact.emails),
            *(phone["number"] for phone in contact.phones),
            *(url["url"] for url in contact.urls),
            contact.title,
            contact.organisation,
        ]
    )


def in_a_line(texts: Sequence[str | None]) -> str:
    return " · ".join(filter(None, texts))


def _is_number(query: str) -> bool:
    return re.fullmatch(r"[\d\s()+./-]+", query) is not None and len(re.sub(r"\D", "", query)) >= DIGITS_MIN


def _by_words(db: Database, expression: str, narrowed: str, values: tuple[object, ...], limit: int) -> list[Hit]:
    rows = db.execute_sql(
        f"SELECT {ROW}, -bm25(contacts_fts, {WEIGHTS}) AS score FROM contacts_fts "
        f"JOIN contacts ON contacts.number = contacts_fts.rowid WHERE contacts_fts MATCH ? AND {narrowed} "
        "ORDER BY score DESC, contacts.name COLLATE NOCASE, contacts.id LIMIT ?",
        (expression, *values, limit),
    ).fetchall()
    return [Hit(CONTACT.read(row[:-1]), max(row[-1], 1e-9)) for row in rows]


def _containing(db: Database, words: list[str], narrowed: str, values: tuple[object, ...], limit: int) -> list[Hit]:
    """Those with all words anywhere: in scripts without spaces, words begin where no index sees it."""
    contained = " AND ".join(f"instr({SCANNED}, ?)" for _ in words)
    rows = db.execute_sql(
        f"SELECT {ROW} FROM contacts WHERE {contained} AND {narrowed} ORDER BY name COLLATE NOCASE, id LIMIT ?",
        (*(word.lower() for word in words), *values, limit),
    ).fetchall()
    return [Hit(CONTACT.read(row), 1.0) for row in rows]


def _by_number(db: Database, digits: str, narrowed: str, values: tuple[object, ...]) -> list[Hit]:
    found = []
    rows = db.execute_sql(
        f"SELECT {ROW} FROM contacts WHERE phones <> '[]' AND {narrowed} ORDER BY name COLLATE NOCASE, id", values
    )
    for contact in map(CONTACT.read, rows):
        score = max((_likeness(digits, phone["number"]) for phone in contact.phones), default=0.0)
        if score:
            found.append(Hit(contact, score))
    return sorted(found, key=lambda hit: -hit.score)


def _likeness(digits: str, number: str) -> float:
    """2 where one number ends in the other but for leading zeros, 1 where it is a part of it, else 0."""
    asked, kept = digits.lstrip("0"), re.sub(r"\D", "", number).lstrip("0")
    if len(asked) < DIGITS_MIN or len(kept) < DIGITS_MIN:
        return 2.0 if asked == kept else 0.0
    if kept.endswith(asked) or asked.endswith(kept):
        return 2.0
    return 1.0 if asked in kept else 0.0


def _search_hit(hit: Hit) -> SearchHit:
    contact = hit.contact
    return SearchHit(
        kind="contact",
        id=contact.id,
        title=contact.name,
        snippet=said(contact),
        score=hit.score,
        updated_at=contact.updated_at,
        origin_instance=contact.origin_instance,
        lamport_ts=contact.lamport_ts,
    )

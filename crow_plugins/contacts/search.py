"""Finding a contact by what one remembers: beginnings of words, or a number in whatever way it is written.

Every word of the query must begin a word of the contact; a hit in the name counts most. A query of digits is
compared with the ends of numbers, so that the country code and spaces make no difference.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from peewee import Database

from crow_hooks import SearchHit, SearchKind
from crow_plugins.contacts.contact import COLUMNS, Contact, contact_of

WORDS_MAX = 24  # of a text pasted whole, the first ones say enough
WEIGHTS = "10.0, 5.0, 3.0, 3.0, 1.0"  # of name, emails, work, tags, notes
DIGITS_MIN = 4  # fewer end too many numbers
SCANNED = "lower(name || ' ' || emails || ' ' || coalesce(organisation, ''))"
ROW = ", ".join(f"contacts.{column}" for column in COLUMNS)
TAGGED = "(? IS NULL OR EXISTS (SELECT 1 FROM json_each(contacts.tags) WHERE value = ?))"


@dataclass(frozen=True, slots=True)
class Hit:
    """A contact that matched, and how well: above zero, comparable within one answer."""

    contact: Contact
    score: float


def search(db: Database, query: str, *, tag: str | None, limit: int) -> list[Hit]:
    """Best first; any text is a query."""
    if _is_number(query):
        return _by_number(db, re.sub(r"\D", "", query), tag, limit)
    words = re.findall(r"[^\W_]+", query.replace("\0", " "))[:WORDS_MAX]
    if not words:
        return []
    return _by_words(db, words, tag, limit) or _containing(db, words, tag, limit)


def search_kind() -> SearchKind:
    def find(db: Database, query: str, limit: int) -> list[SearchHit]:
        return [_search_hit(hit) for hit in search(db, query, tag=None, limit=limit)]

    return SearchKind("contact", find)


def said(contact: Contact) -> str:
    """A contact in one line, without the name."""
    parts = [
        *(email["address"] for email in contact.emails),
        *(phone["number"] for phone in contact.phones),
        *(text for text in (contact.title, contact.organisation) if text),
    ]
    return " · ".join(parts)


def _is_number(query: str) -> bool:
    return re.fullmatch(r"[\d\s()+./-]+", query) is not None and len(re.sub(r"\D", "", query)) >= DIGITS_MIN


def _by_words(db: Database, words: list[str], tag: str | None, limit: int) -> list[Hit]:
    expression = " AND ".join(f'"{word}"*' for word in words)
    rows = db.execute_sql(
        f"SELECT {ROW}, -bm25(contacts_fts, {WEIGHTS}) AS score FROM contacts_fts "
        f"JOIN contacts ON contacts.number = contacts_fts.rowid WHERE contacts_fts MATCH ? AND {TAGGED} "
        "ORDER BY score DESC, name COLLATE NOCASE, contacts.id LIMIT ?",
        (expression, tag, tag, limit),
    ).fetchall()
    return [Hit(contact_of(row[:-1]), max(row[-1], 1e-9)) for row in rows]


def _containing(db: Database, words: list[str], tag: str | None, limit: int) -> list[Hit]:
    """Those with all words anywhere: in scripts without spaces, words begin where no index sees it."""
    contained = " AND ".join(f"instr({SCANNED}, ?)" for _ in words)
    rows = db.execute_sql(
        f"SELECT {ROW} FROM contacts WHERE {contained} AND {TAGGED} ORDER BY name COLLATE NOCASE, id LIMIT ?",
        (*(word.lower() for word in words), tag, tag, limit),
    ).fetchall()
    return [Hit(contact_of(row), 1.0) for row in rows]


def _by_number(db: Database, digits: str, tag: str | None, limit: int) -> list[Hit]:
    found = []
    rows = db.execute_sql(
        f"SELECT {ROW} FROM contacts WHERE phones <> '[]' AND {TAGGED} ORDER BY name COLLATE NOCASE, id", (tag, tag)
    )
    for row in rows:
        score = max(_likeness(digits, phone["number"]) for phone in json.loads(row[COLUMNS.index("phones")]))
        if score:
            found.append(Hit(contact_of(row), score))
    return sorted(found, key=lambda hit: -hit.score)[:limit]


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

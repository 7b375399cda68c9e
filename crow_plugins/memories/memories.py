"""Memories as a person means them: store, find, change, delete, and take a delete back.

Every write goes through `crow.transaction()`; what is checked here is checked again by the door
against `SYNCED`, which is what other instances will hold us to.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from peewee import Database

from crow_hooks import (
    Column,
    Crow,
    Data,
    Invalid,
    NotFound,
    SearchHit,
    SearchKind,
    SyncedTable,
    Transaction,
)
from crow_plugins.memories.memory import FIELDS, SELECT, Memory, memory_of
from crow_plugins.memories.schema import IMPORTANCE_USUAL
from crow_plugins.memories.search import Filters, Found, search

CONTENT_BYTES_MAX = 64 * 1024
CATEGORY_MAX, TAG_MAX, TAGS_MAX = 64, 64, 32
CONTEXT_BYTES_MAX, SOURCE_BYTES_MAX = 16 * 1024, 2 * 1024
TITLE_CHARACTERS = 80

SYNCED = SyncedTable(
    name="memories",
    columns=(
        Column("content", bytes_max=CONTENT_BYTES_MAX),
        Column("category", bytes_max=CATEGORY_MAX * 4),
        Column("importance", "integer"),
        Column("tags", "json", bytes_max=TAGS_MAX * TAG_MAX * 4 + 256),
        Column("context", bytes_max=CONTEXT_BYTES_MAX, nullable=True),
        Column("source", bytes_max=SOURCE_BYTES_MAX, nullable=True),
        Column("project_id", bytes_max=64, nullable=True),
        Column("origin_instance", bytes_max=64),
        Column("created_at", "integer"),
        Column("updated_at", "integer", bookkeeping=True),
    ),
    change_types=("memory_insert", "memory_update", "memory_delete"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, where the next ones begin, and how many there are in all."""

    items: list[Memory]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many memories there are, by category and by instance that wrote them first."""

    total: int
    categories: Mapping[str, int]
    origins: Mapping[str, int]
    oldest: int | None
    newest: int | None


class Memories:
    """The memories of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def store(self, fields: Data, *, by: str = "assistant") -> Memory:
        """Keep a new memory; `fields` holds any of `FIELDS`. Raises `Invalid`."""
        with self._crow.transaction() as transaction:
            row_id = str(uuid.uuid4())
            insert(transaction, row_id, new_row(self._crow, fields, transaction.now), by=by)
            return get(transaction.db, row_id)

    def get(self, row_id: str) -> Memory:
        with self._crow.read() as db:
            return get(db, row_id)

    def update(self, row_id: str, fields: Data) -> Memory:
        """Change the named fields; a write that changes nothing leaves everything as it was."""
        cleaned = clean(fields)
        if not cleaned:
            raise Invalid("nothing to change; name at least one field")
        with self._crow.transaction() as transaction:
            get(transaction.db, row_id)
            settings = ", ".join(f"{name} = ?" for name in cleaned)
            transaction.db.execute_sql(f"UPDATE memories SET {settings} WHERE id = ?", (*encoded(cleaned), row_id))
            transaction.record("memory_update", "memories", row_id)
            return get(transaction.db, row_id)

    def delete(self, row_id: str) -> Memory:
        """Remove a memory; its last image is kept for `restore`."""
        with self._crow.transaction() as transaction:
            memory = get(transaction.db, row_id)
            transaction.record("memory_delete", "memories", row_id)
            return memory

    def restore(self, row_id: str) -> Memory:
        """Take a delete back. Raises `NotFound` if the row is not deleted or its image is gone."""
        with self._crow.transaction() as transaction:
            image = transaction.last_image("memories", row_id)
            if image is None:
                raise NotFound(f"no deleted memory {row_id} is kept; memories that are here need no restoring")
            insert(transaction, row_id, image)
            return get(transaction.db, row_id)

    def find(self, query: str, filters: Filters, limit: int) -> Found:
        with self._crow.read() as db:
            return search(db, query, filters, limit=limit, now=self._crow.now())

    def list(self, filters: Filters, *, limit: int, cursor: str | None) -> Page:
        """Newest change first."""
        where, values = conditions(filters)
        after, after_values = _after(cursor)
        with self._crow.read() as db:
            total = db.execute_sql(f"SELECT count(*) FROM memories WHERE {where}", values).fetchone()[0]
            rows = db.execute_sql(
                f"{SELECT} WHERE {where} AND {after} ORDER BY updated_at DESC, id LIMIT ?",
                (*values, *after_values, limit + 1),
            ).fetchall()
        items = [memory_of(row) for row in rows[:limit]]
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None, total)

    def statistics(self) -> Statistics:
        with self._crow.read() as db:
            total, oldest, newest = db.execute_sql(
                "SELECT count(*), min(created_at), max(created_at) FROM memories"
            ).fetchone()
            return Statistics(total, counts(db, "category"), counts(db, "origin_instance"), oldest, newest)


def search_kind(crow: Crow) -> SearchKind:
    def find(db: Database, query: str, limit: int) -> list[SearchHit]:
        found = search(db, query, Filters(), limit=limit, now=crow.now())
        return [
            SearchHit(
                kind="memory",
                id=hit.memory.id,
                title=title_of(hit.memory.content),
                snippet=hit.snippet,
                score=hit.score,
                updated_at=hit.memory.updated_at,
                origin_instance=hit.memory.origin_instance,
                lamport_ts=hit.memory.lamport_ts,
            )
            for hit in found.hits
        ]

    return SearchKind("memory", find)


def title_of(content: str) -> str:
    """The first line, cut at a length that a list can show."""
    line = next((line.strip() for line in content.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + "…"


def get(db: Database, row_id: str) -> Memory:
    row = db.execute_sql(f"{SELECT} WHERE id = ?", (row_id,)).fetchone()
    if row is None:
        raise NotFound(f"no memory {_shown(row_id)}; search or list memories to see their ids")
    return memory_of(row)


def counts(db: Database, column: str) -> dict[str, int]:
    rows = db.execute_sql(f"SELECT {column}, count(*) FROM memories GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    return dict(rows)


def new_row(crow: Crow, fields: Data, now: int) -> dict[str, object]:
    """All travelling columns of a new memory. Raises `Invalid`."""
    defaults = {"category": "general", "importance": 5, "tags": [], "context": None, "source": None, "project_id": None}
    row = {**defaults, **clean(fields)}
    if "content" not in row:
        raise Invalid("a memory needs content; say what to remember")
    return {**row, "origin_instance": crow.instance.id, "created_at": now, "updated_at": now}


def insert(transaction: Transaction, row_id: str, row: Data, *, by: str = "assistant") -> None:
    names = [column.name for column in SYNCED.columns]
    transaction.db.execute_sql(
        f"INSERT INTO memories (id, {', '.join(names)}) VALUES (?{', ?' * len(names)})",
        (row_id, *encoded({name: row[name] for name in names})),
    )
    transaction.record("memory_insert", "memories", row_id, by=by)


def encoded(row: Data) -> list[object]:
    return [
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) if name == "tags" else value
        for name, value in row.items()
    ]


def clean(fields: Data) -> dict[str, object]:
    """The fields as they are stored; raises `Invalid` with one sentence for the first that does not fit."""
    cleaned = dict(fields)
    for name in cleaned.keys() - set(FIELDS):
        raise Invalid(f"a memory has no field {name}; it has {', '.join(FIELDS)}")
    for name in ("content", "category"):
        if name in cleaned:
            cleaned[name] = _text(name, cleaned[name])
    if "tags" in cleaned:
        cleaned["tags"] = _tags(cleaned["tags"])
    _refuse_what_is_no_text(cleaned)
    _check_sizes(cleaned)
    return cleaned


def conditions(filters: Filters) -> tuple[str, tuple[object, ...]]:
    """The filters as SQL over `memories`, with the values to bind."""
    parts: list[tuple[str, object]] = []
    if filters.category is not None:
        parts.append(("category = ?", filters.category))
    if filters.tag is not None:
        parts.append(("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", filters.tag))
    if filters.min_importance is not None:
        # The index of the important holds no others: SQLite uses it only where it can see that it may.
        hint = f"importance > {IMPORTANCE_USUAL} AND " if filters.min_importance > IMPORTANCE_USUAL else ""
        parts.append((f"{hint}importance >= ?", filters.min_importance))
    if filters.project_id is not None:
        parts.append(("project_id = ?", filters.project_id))
    return " AND ".join(["1", *(sql for sql, _ in parts)]), tuple(value for _, value in parts)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f"{name} must not be empty; give it some text")
    return value.strip() if name == "category" else value


def _tags(value: object) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise Invalid("tags must be a list of texts")
    tags = list(dict.fromkeys(tag.strip() for tag in value if tag.strip()))
    if len(tags) > TAGS_MAX or any(len(tag) > TAG_MAX for tag in tags):
        raise Invalid(f"a memory has up to {TAGS_MAX} tags of up to {TAG_MAX} characters; shorten them")
    return tags


def _refuse_what_is_no_text(cleaned: Data) -> None:
    for name, value in cleaned.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and ("\0" in text or (not text.isprintable() and _has_surrogate(text))):
                raise Invalid(f"{name} holds a NUL or half a character; remove it and try again")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _check_sizes(cleaned: Data) -> None:
    content, category = cleaned.get("content", ""), cleaned.get("category", "")
    if len(str(content).encode("utf-8", "surrogatepass")) > CONTENT_BYTES_MAX:
        raise Invalid(f"content is longer than {CONTENT_BYTES_MAX // 1024} KiB; split it into several memories")
    if len(str(category)) > CATEGORY_MAX:
        raise Invalid(f"category is longer than {CATEGORY_MAX} characters; shorten it")
    importance = cleaned.get("importance", 5)
    if not isinstance(importance, int) or isinstance(importance, bool) or not 1 <= importance <= 10:
        raise Invalid("importance is a whole number from 1 to 10")


def _shown(text: str) -> str:
    return repr(text[:64])


def _cursor(memory: Memory) -> str:
    return base64.urlsafe_b64encode(f"{memory.updated_at} {memory.id}".encode()).decode()


def _after(cursor: str | None) -> tuple[str, tuple[object, ...]]:
    if cursor is None:
        return "1", ()
    try:
        updated_at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ", 1)
        return "(updated_at < ? OR (updated_at = ? AND id > ?))", (int(updated_at), int(updated_at), row_id)
    except (ValueError, binascii.Error) as error:
        raise Invalid("the cursor is not one of ours; take next_cursor from the last answer") from error

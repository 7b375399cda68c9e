"""What several plugins' services repeat: kinds of rows with cleaned fields, kept, listed in pages, sent and taken.

    KIND = Kind(
        name="note", table="notes", record=Note,   # a dataclass with a field for each of KIND.columns
        fields=(text("content", bytes_max=64 * 1024, default=REQUIRED), tags(), reference("project_id")),
        changes=("note_insert", "note_update", "note_delete"),
        ids="search notes to see their ids",
    )
    KIND.synced                                  # answers register_synced_tables
    Rows(crow, KIND).add / get / update / delete / restore / list(conditions, limit=, cursor=)
    rows_format(crow, KIND)                      # answers register_formats: JSON Lines, dry run, never overwrites
    Importer.of("bibtex", "entry", take)         # another program's file, for `crow import FILE --format bibtex`
    fenced("note 1 from=…", text)                # a row as a tool answers it in words

Within a transaction of one's own: `get`, `find`, `insert`, `change`.
"""

from __future__ import annotations

from crow_plugins.rows.batches import in_batches
from crow_plugins.rows.condition import Condition, MarkIs, TagIs, equals, tagged, where
from crow_plugins.rows.fence import fenced
from crow_plugins.rows.field import REQUIRED, Field, choice, reference, tags, text, texts, whole
from crow_plugins.rows.importer import Importer
from crow_plugins.rows.interchange import export, rows_format, take, unix_seconds
from crow_plugins.rows.keeping import Rows, change, counts, find, get, insert
from crow_plugins.rows.kind import Kind, Row
from crow_plugins.rows.paging import Page, cursor_at, page, place_of

__all__ = [
    "REQUIRED",
    "Condition",
    "Field",
    "Importer",
    "Kind",
    "MarkIs",
    "Page",
    "Row",
    "Rows",
    "TagIs",
    "change",
    "choice",
    "counts",
    "cursor_at",
    "equals",
    "export",
    "fenced",
    "find",
    "get",
    "in_batches",
    "insert",
    "page",
    "place_of",
    "reference",
    "rows_format",
    "tagged",
    "tags",
    "take",
    "text",
    "texts",
    "unix_seconds",
    "where",
    "whole",
]

"""Search over any table with a full-text index, of equal quality for every kind of row.

A plugin describes its table once, puts the SQL behind the table's own, and searches:

    NOTES = TextIndex(
        table="notes",                              # has `id`, and `number INTEGER PRIMARY KEY`
        weights=(("title", 2.0), ("content", 1.0)),  # the indexed columns, and what a word in each counts
        snippets=("content", "title"),               # cut from the first that matches
        scanned=("content",),                        # read row by row for signs and for scripts without spaces
        columns=KIND.columns, record=KIND.read,      # how a row becomes a value (`crow_plugins.rows`)
        boost="(importance - 5) / 5.0",              # optional: SQL between -1 and 1
        marks=("importance",),                       # optional: what a generated column `marks` is made of
    )
    MIGRATIONS = (f"CREATE TABLE notes (…);{index_sql(NOTES)}",)

    found = search(db, NOTES, "what was typed", [equals("project_id", project_id)], limit=10, now=crow.now())
    found.hits[0].record, .score, .snippet;  found.matched, .total, .at_least

`search_kind(crow, "note", NOTES, title)` answers `register_search`, `index_check(crow, NOTES)` a line of `crow doctor`,
`index_jobs(crow, NOTES)` answers `register_jobs`. Conditions stand in `crow_plugins.rows`: `equals`, `tagged`,
`Condition`. Any text at all is a query; only an empty one is refused (`EmptyQuery`). Rows are told apart, where all
else is equal, by (`time`, `id`).
"""

from __future__ import annotations

from crow_plugins.fulltext.checking import index_check, index_finding
from crow_plugins.fulltext.index import MARK, TextIndex, index_sql
from crow_plugins.fulltext.kinds import search_kind
from crow_plugins.fulltext.searching import EmptyQuery, Found, Hit, search
from crow_plugins.fulltext.snippet import title_of
from crow_plugins.fulltext.tidying import index_jobs

__all__ = [
    "MARK",
    "EmptyQuery",
    "Found",
    "Hit",
    "TextIndex",
    "index_check",
    "index_finding",
    "index_jobs",
    "index_sql",
    "search",
    "search_kind",
    "title_of",
]

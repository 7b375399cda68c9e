"""A table with a full-text index over it, described by one value; its SQL is made from that, and nothing else is known.

The index holds no text of its own: it reads the table's, and triggers keep it true. A stem is found
under its first three letters too (`prefix`), so that a short beginning of a word costs no walk through
every word that has it. Only a write to an indexed column touches the index: stamping a row does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from crow_plugins.rows.kind import Row

Record = TypeVar("Record", bound=Row)

TOKENIZER = ("porter", "unicode61", "remove_diacritics", "2")  # what the index is made with; queries are read by it too

MARK = "\ue000"  # of the letters for private use, which the index takes for letters of a word
# Scripts without spaces, as a pattern of `GLOB`: Thai to Khmer, kana, Han. The index takes a run of them for one word.
UNSPACED = "*[ก-႟ក-៿぀-ヿ㐀-鿿]*"


@dataclass(frozen=True, slots=True)
class TextIndex(Generic[Record]):
    """What is searched in a table, how much each column counts, and how its rows are read and shown.

    The table has an `id`, and `number INTEGER PRIMARY KEY`: a row's place in the index, made of what travels. `weights`
    are the indexed columns, each with what a word in it counts. `marks` are the columns of which the column `marks` is
    generated, where there is one: words that nobody types, each beginning with `MARK`, by which rows can be told apart
    in the index without a look at them. The snippet is cut from the first of `snippets` that
    matches. `scanned` are the columns that are read row by row for what no word index finds: signs, and text inside a
    run of a script without spaces. `time` is the column (unix seconds) by which new rows gain; `boost`
    is SQL for what a row gains (up to 1) or loses (down to -1) besides. Rows are read as `columns`, by `record`.
    """

    table: str
    weights: tuple[tuple[str, float], ...]
    snippets: tuple[str, ...]
    scanned: tuple[str, ...]
    columns: tuple[str, ...]
    record: Callable[[Sequence[object]], Record]
    time: str = "updated_at"
    boost: str = "0"
    marks: tuple[str, ...] = ()

    @property
    def indexed(self) -> tuple[str, ...]:
        """The columns of the full-text table."""
        return (*(column for column, _ in self.weights), *(["marks"] if self.marks else []))

    @property
    def fts(self) -> str:
        """The name of the full-text table."""
        return f"{self.table}_fts"

    @property
    def unspaced(self) -> str:
        """The name of the list of rows that have text in a script without spaces."""
        return f"{self.table}_unspaced"

    @property
    def is_unspaced(self) -> str:
        """Whether a row stands in that list, as SQL. ASCII is told by its length, far sooner than by a search."""
        text = self.scanned_text
        return f"octet_length({text}) > length({text}) AND {text} GLOB '{UNSPACED}'"

    @property
    def scanned_text(self) -> str:
        """The columns that are read row by row, as one text in SQL."""
        if len(self.scanned) == 1:
            return self.scanned[0]
        joined = " || ' ' || ".join(f"coalesce({column}, '')" for column in self.scanned)
        return f"({joined})"


def index_sql(index: TextIndex[Record]) -> str:
    """The full-text table, its triggers and the list of unspaced rows, to stand behind the table in a migration.

    A migration is text that never changes once released: who changes what this function or a `TextIndex` says of
    the index adds a migration that drops these and makes them anew.
    """
    table, fts = index.table, index.fts
    listed, new, old = (", ".join(prefix + column for column in index.indexed) for prefix in ("", "new.", "old."))
    read = ", ".join((*(column for column, _ in index.weights), *index.marks, "number"))
    return f"""
    CREATE INDEX {index.unspaced} ON {table} (number) WHERE {index.is_unspaced};
    CREATE VIRTUAL TABLE {fts} USING fts5 (
        {listed},
        content = '{table}', content_rowid = 'number', tokenize = '{" ".join(TOKENIZER)}', prefix = '3'
    );
    -- Merge rarely: most writes then touch a page or two of the index instead of rewriting parts of it.
    INSERT INTO {fts} ({fts}, rank) VALUES ('automerge', 16);
    CREATE TRIGGER {table}_indexed AFTER INSERT ON {table} BEGIN
        INSERT INTO {fts} (rowid, {listed}) VALUES (new.number, {new});
    END;
    CREATE TRIGGER {table}_unindexed AFTER DELETE ON {table} BEGIN
        INSERT INTO {fts} ({fts}, rowid, {listed}) VALUES ('delete', old.number, {old});
    END;
    CREATE TRIGGER {table}_reindexed AFTER UPDATE OF {read} ON {table} BEGIN
        INSERT INTO {fts} ({fts}, rowid, {listed}) VALUES ('delete', old.number, {old});
        INSERT INTO {fts} (rowid, {listed}) VALUES (new.number, {new});
    END;
    """

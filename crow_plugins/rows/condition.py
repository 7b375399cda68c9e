"""What rows must be to be listed or found: parts of a WHERE clause, each with its one value to bind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over one table's columns, with one `?`; `is_indexed` if an index answers it without a look at the rows."""

    sql: str
    value: object
    is_indexed: bool = False


@dataclass(frozen=True, slots=True)
class TagIs(Condition):
    """One of a JSON list of texts is exactly this; a full-text index over the column helps to find such rows."""

    column: str = "tags"


@dataclass(frozen=True, slots=True)
class ColumnIs(Condition):
    """A column is exactly this; a full-text index over it helps to find such rows."""

    column: str = ""


@dataclass(frozen=True, slots=True)
class MarkIs(Condition):
    """The row bears one of these marks: words that a full-text index has of a row beside its text."""

    marks: tuple[str, ...] = ()
    column: str = "marks"


def equals(column: str, value: object, *, is_indexed: bool = True) -> Condition:
    return ColumnIs(f"{column} = ?", value, is_indexed, column=column)


def tagged(tag: str, column: str = "tags") -> TagIs:
    return TagIs(f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = ?)", tag, column=column)


def where(conditions: Sequence[Condition]) -> tuple[str, tuple[object, ...]]:
    """All of the conditions as SQL, with the values to bind."""
    return " AND ".join(["1", *(each.sql for each in conditions)]), tuple(each.value for each in conditions)


def is_storable(value: object) -> bool:
    """Whether a row can have this: half of a surrogate pair cannot be stored."""
    return not (isinstance(value, str) and re.search("[\ud800-\udfff]", value))

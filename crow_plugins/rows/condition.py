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


def equals(column: str, value: object, *, is_indexed: bool = True) -> Condition:
    return Condition(f"{column} = ?", value, is_indexed)


def tagged(tag: str, column: str = "tags") -> TagIs:
    return TagIs(f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = ?)", tag, column=column)


def where(conditions: Sequence[Condition]) -> tuple[str, tuple[object, ...]]:
    """All of the conditions as SQL, with the values to bind."""
    return " AND ".join(["1", *(each.sql for each in conditions)]), tuple(each.value for each in conditions)


def is_storable(value: object) -> bool:
    """Whether a row can have this: half of a surrogate pair cannot be stored."""
    return not (isinstance(value, str) and re.search("[\ud800-\udfff]", value))

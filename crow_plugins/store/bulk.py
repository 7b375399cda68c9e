"""Many rows in few statements: beginning one is paid for once, and other threads run while SQLite works through it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import peewee

# The first of up to 30 columns: SQLite binds four times as many, and text this short is kept prepared.
ROWS_A_STATEMENT = 256, 16, 1

Returned = list[Sequence[object]]


def insert(db: peewee.Database, into: str, rows: Sequence[Sequence[object]], otherwise: str = "") -> Returned:
    """Run `into` VALUES rows `otherwise`, which may end in RETURNING; all rows are of the same width."""
    start = 0
    returned: Returned = []
    for size in ROWS_A_STATEMENT:
        while len(rows) - start >= size:
            returned += _insert(db, into, rows[start : start + size], otherwise)
            start += size
    return returned


def _insert(db: peewee.Database, into: str, rows: Sequence[Sequence[object]], otherwise: str) -> Returned:
    values = [value for each in rows for value in each]
    return list(db.execute_sql(_statement(into, len(rows), len(rows[0]), otherwise), values).fetchall())


@lru_cache(maxsize=256)
def _statement(into: str, rows: int, columns: int, otherwise: str) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{into} VALUES {','.join([row] * rows)} {otherwise}"

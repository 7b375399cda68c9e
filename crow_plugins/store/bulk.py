"""Many rows in few statements: beginning one is paid for once, and other threads run while SQLite works through it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import peewee

ROWS_A_STATEMENT = 64  # of a dozen columns: far below what SQLite binds, and short enough to be kept prepared


def insert(db: peewee.Database, into: str, rows: Sequence[Sequence[object]], otherwise: str = "") -> None:
    """Run `into` VALUES rows `otherwise`; all rows are of the same width."""
    whole = len(rows) - len(rows) % ROWS_A_STATEMENT
    for start in range(0, whole, ROWS_A_STATEMENT):
        _insert(db, into, rows[start : start + ROWS_A_STATEMENT], otherwise)
    for row in rows[whole:]:
        _insert(db, into, [row], otherwise)


def _insert(db: peewee.Database, into: str, rows: Sequence[Sequence[object]], otherwise: str) -> None:
    values = [value for each in rows for value in each]
    db.execute_sql(_statement(into, len(rows), len(rows[0]), otherwise), values)


@lru_cache(maxsize=256)
def _statement(into: str, rows: int, columns: int, otherwise: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([row] * rows)} {otherwise}"

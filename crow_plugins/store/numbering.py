"""The number of a row: its place in the table's file and in its full-text index, the same on every machine.

What a search looks at is bounded, and the bound is a number; so numbers must not tell of the order in which rows
happened to arrive. A row's number is made of its time and its id: rows lie in the order in which they were made, and
equal rows have equal numbers everywhere. Within a second they lie as their ids say when they were made, if these are
UUIDs of version 7, as Crow makes them; others lie where a hash of the id says. What was written in one go lies
together, so that writing it and taking it in touch few pages.

Two rows of one second may ask for the same number. Then the one with the smaller id has it, and the other asks for its
next one, whichever came first; so rows stand alike whatever order they came in. One thing is left: a row that had to
give way stays where it is when the other is deleted, in the same second, until it is written anew.
"""

from __future__ import annotations

import hashlib
import itertools
import re

import peewee

TIMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]")  # the beginning of a UUID of version 7
PLACE_BITS, AT_BITS = 24, 33  # until the year 2242; whatever lies outside is taken for the nearest
AT_MAX = (1 << AT_BITS) - 1
ATTEMPTS_LOOKED_AT = 64  # far more than a row ever needs: the second one is free but once in millions


def number_of(at: int, row_id: str, attempt: int = 0) -> int:
    """The number a row asks for; `attempt` tells how many it had to leave to others. `at` in unix seconds."""
    place = _moment(row_id) if attempt == 0 and TIMED.match(row_id) else _hashed(row_id, attempt)
    return min(max(at, 0), AT_MAX) << PLACE_BITS | place >> 24 - PLACE_BITS


def _moment(row_id: str) -> int:
    """24 bits: the millisecond within its second, the 4096th of that, and two of the random bits of the id."""
    milliseconds = int(row_id[:8] + row_id[9:13], 16)
    return milliseconds % 1000 << 14 | int(row_id[15:18], 16) << 2 | int(row_id[19], 16) & 3


def _hashed(row_id: str, attempt: int) -> int:
    return int.from_bytes(hashlib.blake2b(row_id.encode() + bytes(attempt), digest_size=3).digest())


def settle(db: peewee.Database, table: str, column: str, row_id: str) -> None:
    """Give a row that is here the number that it should have by its `column`; others may have to move for it."""
    number, at = db.execute_sql(f"SELECT number, {column} FROM {table} WHERE id = ?", (row_id,)).fetchone()
    place = _vacated(db, table, column, row_id, at, 0)
    if place != number:
        db.execute_sql(f"UPDATE {table} SET number = ? WHERE id = ?", (place, row_id))


def _vacated(db: peewee.Database, table: str, column: str, row_id: str, at: int, attempt: int) -> int:
    """The first number from this attempt on that the row may have; whoever has it moves away."""
    for number in (number_of(at, row_id, each) for each in itertools.count(attempt)):
        holder = db.execute_sql(f"SELECT id, {column} FROM {table} WHERE number = ?", (number,)).fetchone()
        if holder is None or holder[0] == row_id:
            return number
        if row_id < holder[0]:
            other_id, other_at = holder
            place = _vacated(db, table, column, other_id, other_at, _attempt(number, other_id, other_at) + 1)
            db.execute_sql(f"UPDATE {table} SET number = ? WHERE number = ?", (place, number))
            return number
    raise AssertionError  # an endless count has no end


def _attempt(number: int, row_id: str, at: int) -> int:
    """By which attempt a row came to its number; -1 for one that was never given one."""
    attempts = range(ATTEMPTS_LOOKED_AT)
    return next((each for each in attempts if number_of(at, row_id, each) == number), -1)

"""Ids of new rows."""

from __future__ import annotations

import secrets
import time

SUBMILLISECOND_BITS, RANDOM_BITS = 12, 62


def new_row_id() -> str:
    """An id for a new row: a UUID of version 7 (RFC 9562), made of the time now and 62 random bits.

    Ids that are made one after the other lie together in every index, here and on each machine that takes the rows
    in; random ones would have each row change a page of its own in each of them.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    finer = (nanoseconds << SUBMILLISECOND_BITS) // 1_000_000
    random = secrets.randbits(RANDOM_BITS)
    digits = f"{milliseconds << 80 | 7 << 76 | finer << 64 | 2 << 62 | random:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

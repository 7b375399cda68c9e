"""A write through the door, against a bare insert of the same row with the same durability.

The bare insert has no version, no clock, no full-text index: it is what SQLite and the disk charge at the least.
Both run in turns, so that a disk that is slow for a while is slow for both.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import peewee
from playhouse.apsw_ext import APSWDatabase

from bench.figures import Figure
from bench.world import opened
from crow_plugins.memories.memories import Memories

ROUNDS, WRITES_A_ROUND = 20, 100
FLOOR = 0.7
TEXT = "The quarterly figures are in the shared folder, and the auditor comes on the third Thursday of the month. " * 3


class Row(peewee.Model):
    """The columns of a memory."""

    id = peewee.TextField(primary_key=True)
    content = peewee.TextField()
    category = peewee.TextField()
    importance = peewee.IntegerField()
    tags = peewee.TextField()
    origin_instance = peewee.TextField()
    created_at = peewee.IntegerField()
    updated_at = peewee.IntegerField()
    lamport_ts = peewee.IntegerField()


def bare_inserts(path: Path) -> Iterator[Callable[[int], object]]:
    db = APSWDatabase(str(path), pragmas={"journal_mode": "WAL", "synchronous": "FULL"})
    with db.connection_context(), db.bind_ctx([Row]):
        db.create_tables([Row])

        def insert(number: int) -> object:
            now = int(time.time())
            row = {"content": f"{number} {TEXT}", "category": "work", "importance": 5, "tags": '["tax"]'}
            times = {"created_at": now, "updated_at": now, "lamport_ts": number}
            return Row.insert(id=str(uuid.uuid4()), origin_instance="x" * 36, **row, **times).execute()

        yield insert


def seconds(write: Callable[[int], object], start: int) -> float:
    began = time.perf_counter()
    for number in range(start, start + WRITES_A_ROUND):
        write(number)
    return time.perf_counter() - began


def measure() -> list[Figure]:
    with opened() as host:
        memories = Memories(host.hook.handle("memories"))
        fields = {"category": "work", "tags": ["tax"]}
        door, bare = [], []
        for insert in bare_inserts(host.home.folder / "bare.db"):
            for number in range(ROUNDS):
                bare.append(seconds(insert, number * WRITES_A_ROUND))
                door.append(
                    seconds(
                        lambda each: memories.store({"content": f"{each} {TEXT}", **fields}), number * WRITES_A_ROUND
                    )
                )
    ratios = [each / other for each, other in zip(bare, door, strict=True)]
    ratio = statistics.median(ratios)
    return [
        Figure("bare insert, FULL", f"{WRITES_A_ROUND / statistics.median(bare):,.0f} rows/s"),
        Figure("write through the door", f"{WRITES_A_ROUND / statistics.median(door):,.0f} rows/s"),
        Figure(
            "door against bare insert",
            f"{ratio:.2f} × ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{FLOOR} ×",
            ratio >= FLOOR,
        ),
    ]

"""A write through the door, against bare peewee inserts of the same row with the same durability.

One goes into the same table, with its indexes and its full-text index, but without version and clock: the difference
is what the door costs. The other goes into a plain table, which is what SQLite and the disk charge at the least. All
run in turns, so that a disk that is slow for a while is slow for all.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from playhouse.apsw_ext import APSWDatabase

from bench.figures import Figure
from bench.world import opened
from crow_plugins.memories.memories import Memories
from crow_plugins.memories.schema import MIGRATIONS

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

    class Meta:
        table_name = "memories"


@contextmanager
def bare_inserts(path: Path, script: str | None = None) -> Iterator[Callable[[int], object]]:
    """Inserts one by one into a plain table of these columns, or into the one that `script` makes."""
    db = APSWDatabase(str(path), pragmas={"journal_mode": "WAL", "synchronous": "FULL"})
    with db.connection_context():
        if script is None:
            with db.bind_ctx([Row]):
                db.create_tables([Row])
        else:
            db.execute_sql(script)

        def insert(number: int) -> object:
            now = int(time.time())
            row = {"content": f"{number} {TEXT}", "category": "work", "importance": 5, "tags": '["tax"]'}
            times = {"created_at": now, "updated_at": now, "lamport_ts": number}
            return Row.insert(id=str(uuid.uuid4()), origin_instance="x" * 36, **row, **times).execute(db)

        yield insert


def seconds(write: Callable[[int], object], start: int) -> float:
    began = time.perf_counter()
    for number in range(start, start + WRITES_A_ROUND):
        write(number)
    return time.perf_counter() - began


def measure() -> list[Figure]:
    with opened() as host:
        folder, memories = host.home.folder, Memories(host.hook.handle("memories"))

        def store(number: int) -> object:
            return memories.store({"content": f"{number} {TEXT}", "category": "work", "tags": ["tax"]})

        with bare_inserts(folder / "bare.db") as bare, bare_inserts(folder / "same.db", MIGRATIONS[0]) as same:
            rounds = [
                [seconds(write, number * WRITES_A_ROUND) for write in (bare, same, store)] for number in range(ROUNDS)
            ]
    names = ("bare insert", "bare insert into the same, searchable table", "write through the door")
    rates = [WRITES_A_ROUND / statistics.median(times) for times in zip(*rounds, strict=True)]
    figures = [Figure(name, f"{rate:,.0f} rows/s") for name, rate in zip(names, rates, strict=True)]
    return [
        *figures,
        _ratio("door against a bare insert into the same table", [same / door for _, same, door in rounds], FLOOR),
        _ratio("door against a bare insert into a plain table", [bare / door for bare, _, door in rounds]),
    ]


def _ratio(name: str, ratios: list[float], floor: float | None = None) -> Figure:
    ratio = statistics.median(ratios)
    value = f"{ratio:.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
    return Figure(name, value, f"{floor} ×" if floor else "", None if floor is None else ratio >= floor)

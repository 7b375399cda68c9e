"""A write through the door, against bare peewee inserts of the same row with the same durability.

One goes into the same table, with its indexes and its full-text index, but without version and clock: the difference
is what the door costs. The other goes into a plain table, which is what SQLite and the disk charge at the least. All
run in turns, so that a disk that is slow for a while is slow for all.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from playhouse.apsw_ext import APSWDatabase

from bench.figures import Figure, at_least, measured
from bench.size import Size
from bench.world import opened
from crow_plugins.memories.memories import Memories
from crow_plugins.memories.schema import MIGRATIONS

ROUNDS = 20
LIMITS = at_least(0.7, 0.9)
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


def measure(size: Size) -> Iterator[Figure]:
    with opened() as host:
        folder, memories = host.home.folder, Memories(host.hook.handle("memories"))

        def store(number: int) -> object:
            return memories.store({"content": f"{number} {TEXT}", "category": "work", "tags": ["tax"]})

        with bare_inserts(folder / "bare.db") as bare, bare_inserts(folder / "same.db", MIGRATIONS[0]) as same:
            rounds = [
                [_rate(write, number * size.writes, size.writes) for write in (bare, same, store)]
                for number in range(ROUNDS)
            ]
    names = ("bare insert", "bare insert into the same, searchable table", "write through the door")
    for name, rates in zip(names, zip(*rounds, strict=True), strict=True):
        yield measured(name, rates, "rows/s")
    ratios = [door / same for _, same, door in rounds]
    yield measured("door against a bare insert into the same table", ratios, "×", LIMITS)
    yield measured("door against a bare insert into a plain table", [door / bare for bare, _, door in rounds], "×")


def _rate(write: Callable[[int], object], start: int, count: int) -> float:
    began = time.perf_counter()
    for number in range(start, start + count):
        write(number)
    return count / (time.perf_counter() - began)

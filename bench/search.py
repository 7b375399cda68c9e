"""Searches in this process, without host or HTTP: how long each kind of query takes on many memories.

    python -m bench.search [--rows N]

The text is that of Debian's package index. Beyond the packages there are, each memory is part of one description and
part of another of the same section, so that few are equal and words stay about as common as they were.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from peewee import Database
from playhouse.apsw_ext import APSWDatabase
from rich.progress import track

from bench.demo_data import MISSING, memories
from bench.figures import Figure, below, measured, percentile, show
from bench.queries import QUERIES
from bench.size import SIZES, Size
from crow_plugins.fulltext.tidying import merged_some
from crow_plugins.memories.schema import INDEX, MIGRATIONS
from crow_plugins.memories.search import Filters, search
from crow_plugins.store.numbering import number_of

ROWS, ROUNDS, LIMIT, BATCH = 60_000, 5, 10, 1000
FEW_ROWS, FEW, MANY = 100_000, below(10), below(50, 15)  # milliseconds of the p95, up to so many rows and beyond
SEED = 7
NO_FILTERS = Filters()
FILTERS = (Filters(category="games"), Filters(tag="Debian Python Team"), Filters(min_importance=7))
PRAGMAS = {"journal_mode": "WAL", "synchronous": "OFF", "cache_size": -16 * 1024}
COLUMNS = ("number", "id", "content", "category", "importance", "tags", "origin_instance", "created_at", "updated_at")


def measure(size: Size) -> Iterator[Figure]:
    """A line for each kind of query, one for common words under filters, and one for all together."""
    packages = list(memories()) if shutil.which("apt-cache") else []
    if not packages:
        yield Figure("no text to search", MISSING)
        return
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        db = built(Path(folder) / "memories.db", many(packages, size.searched), size.searched)
        yield from _figures(db, size.searched)
        db.close()


def many(packages: Sequence[dict[str, object]], rows: int) -> Iterator[dict[str, object]]:
    """The packages, then mixtures of two of a section, until there are enough."""
    rng = random.Random(SEED)  # noqa: S311  # the same mixtures each time
    sections: dict[object, list[str]] = {}
    for package in packages:
        sections.setdefault(package["category"], []).append(str(package["content"]))
    yield from packages[:rows]
    for number in range(len(packages), rows):
        package = packages[number % len(packages)]
        own, other = str(package["content"]).split(), rng.choice(sections[package["category"]]).split()
        content = " ".join(own[: max(2, len(own) // 2)] + other[len(other) // 2 :])
        yield {**package, "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "content": content}


def built(path: Path, all_memories: Iterator[dict[str, object]], rows: int) -> Database:
    """A database of the memories, written as an import writes it, only without the rest of the house; and tidied."""
    db: Database = APSWDatabase(str(path), pragmas=PRAGMAS)
    db.connect()
    for script in MIGRATIONS:
        db.execute_sql(script)
    places = ", ".join("?" * len(COLUMNS))
    for _ in track(range(0, rows, BATCH), description="writing", transient=True):
        with db.atomic():
            for memory in islice(all_memories, BATCH):
                row = {**memory, "tags": json.dumps(memory["tags"], ensure_ascii=False), "origin_instance": "bench"}
                row["number"] = number_of(int(str(row["created_at"])), str(row["id"]))
                values = tuple(row[name] for name in COLUMNS)
                db.execute_sql(f"INSERT OR IGNORE INTO memories ({', '.join(COLUMNS)}) VALUES ({places})", values)
    while merged_some(db, INDEX):  # as a gateway does every ten minutes
        pass
    db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return db


def _figures(db: Database, rows: int) -> Iterator[Figure]:
    kinds = {kind: [(query, NO_FILTERS) for query in queries] for kind, queries in QUERIES.items()}
    kinds["common words, filtered"] = [(query, filters) for query in QUERIES["common words"] for filters in FILTERS]
    rounds: list[list[float]] = [[] for _ in range(ROUNDS)]
    for kind, asked in kinds.items():
        times = [[milliseconds(db, query, filters) for query, filters in asked] for _ in range(ROUNDS)]
        yield measured(f"{kind}, p95", [percentile(each, 0.95) for each in times], "ms")
        for every, each in zip(rounds, times, strict=True):
            every += each
    yield measured("all, p50", [percentile(each, 0.5) for each in rounds], "ms")
    p95, limits = [percentile(each, 0.95) for each in rounds], FEW if rows <= FEW_ROWS else MANY
    yield measured(f"search of {rows:,} memories, p95", p95, "ms", limits)


def milliseconds(db: Database, query: str, filters: Filters) -> float:
    began = time.perf_counter()
    search(db, query, filters, limit=LIMIT, now=int(time.time()))
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure searches over Debian's package descriptions.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many memories to search (default {ROWS:,})")
    rows = parser.parse_args().rows
    show(f"Searches over {rows:,} memories", measure(replace(SIZES["short"], searched=rows)))


if __name__ == "__main__":
    main()

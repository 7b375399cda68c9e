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
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from peewee import Database
from playhouse.apsw_ext import APSWDatabase
from rich.progress import track

from bench.demo_data import MISSING, memories
from bench.figures import Figure, percentile, show
from bench.queries import QUERIES
from crow_plugins.memories.schema import MIGRATIONS
from crow_plugins.memories.search import Filters, search

ROWS, ROUNDS, LIMIT, BATCH = 60_000, 5, 10, 1000
FLOOR_MS, LARGE_FLOOR_MS, LARGE_ROWS = 10.0, 50.0, 500_000  # the p95 that a search may take, up to so many rows
SEED = 7
NO_FILTERS = Filters()
FILTERS = (Filters(category="games"), Filters(tag="Debian Python Team"), Filters(min_importance=7))
PRAGMAS = {"journal_mode": "WAL", "synchronous": "OFF", "cache_size": -16 * 1024}
COLUMNS = ("id", "content", "category", "importance", "tags", "origin_instance", "created_at", "updated_at")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure searches over Debian's package descriptions.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many memories to search (default {ROWS:,})")
    rows = parser.parse_args().rows
    if shutil.which("apt-cache") is None:
        sys.exit(MISSING)
    packages = list(memories())
    if not packages or rows < 1:
        sys.exit("there is nothing to search; run apt-get update, and ask for one row or more")
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        db = built(Path(folder) / "memories.db", many(packages, rows), rows)
        show(f"Searches over {rows:,} memories", measure(db, rows))
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
    """A database of the memories, written as an import writes it, only without the rest of the house."""
    db: Database = APSWDatabase(str(path), pragmas=PRAGMAS)
    db.connect()
    for script in MIGRATIONS:
        db.execute_sql(script)
    places = ", ".join("?" * len(COLUMNS))
    for _ in track(range(0, rows, BATCH), description="writing", transient=True):
        with db.atomic():
            for memory in islice(all_memories, BATCH):
                row = {**memory, "tags": json.dumps(memory["tags"], ensure_ascii=False), "origin_instance": "bench"}
                values = tuple(row[name] for name in COLUMNS)
                db.execute_sql(f"INSERT INTO memories ({', '.join(COLUMNS)}) VALUES ({places})", values)
    db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return db


def measure(db: Database, rows: int) -> list[Figure]:
    """A line for each kind of query, one for common words under filters, and one for all together."""
    figures, every = [], []
    for kind, queries in QUERIES.items():
        times = [milliseconds(db, query, NO_FILTERS) for _ in range(ROUNDS) for query in queries]
        figures.append(line(kind, times))
        every += times
    filtered = [
        milliseconds(db, query, filters)
        for _ in range(ROUNDS)
        for query in QUERIES["common words"]
        for filters in FILTERS
    ]
    floor = LARGE_FLOOR_MS if rows >= LARGE_ROWS else FLOOR_MS
    return [*figures, line("common words, filtered", filtered), line("all", every + filtered, floor)]


def milliseconds(db: Database, query: str, filters: Filters) -> float:
    began = time.perf_counter()
    search(db, query, filters, limit=LIMIT, now=int(time.time()))
    return (time.perf_counter() - began) * 1000


def line(name: str, times: Sequence[float], floor: float | None = None) -> Figure:
    p95 = percentile(times, 0.95)
    value = f"p50 {percentile(times, 0.5):.1f} ms, p95 {p95:.1f} ms, max {max(times):.1f} ms"
    return Figure(name, value, f"p95 {floor:.0f} ms" if floor else "", None if floor is None else p95 < floor)


if __name__ == "__main__":
    main()

"""How each figure grows with the rows that are kept: ten thousand, a hundred thousand, a million.

    python -m bench.growth --rows 10000 --rows 100000
    python -m bench.growth --rows 1000000 --folder FOLDER --minutes 7     again and again, until it prints the table

What was done in a folder is not done again, so that a large size can be measured a few minutes at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.catch_up import ROW_BYTES, write
from bench.demo_data import MISSING, memories
from bench.figures import percentile
from bench.idle import resident_mebibytes
from bench.machines import Machine
from bench.queries import QUERIES
from bench.search import many
from bench.starts import asked
from crow_plugins.fulltext.tidying import merge_some
from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories
from crow_plugins.memories.schema import INDEX
from crow_plugins.memories.search import Filters, search

BATCH_ROWS, WRITES, STARTS, ROUNDS = 1000, 300, 5, 3
LOOK_SECONDS = 0.1
MADE_FROM, MADE_APART = 1_700_000_000, 60  # unix seconds, seconds: over years, as a person's rows are
Measured = dict[str, float]


class OutOfTime(Exception):
    """The minutes are over; what is done is kept."""


class Growing:
    """Two machines in a folder: the first has so many rows, the other catches up with them."""

    def __init__(self, folder: Path, rows: int, until: float) -> None:
        self._folder, self.rows, self._until = folder / str(rows), rows, until
        self._folder.mkdir(parents=True, exist_ok=True)
        self._first, self._other = (Machine(self._folder / name) for name in ("grackle", "swan"))

    def measured(self) -> Measured:
        """Every figure. Raises `OutOfTime` between two of them."""
        steps: tuple[Callable[[], Measured], ...] = (
            self._meet,
            self._fill,
            self._write,
            self._search,
            self._start,
            self._catch_up,
        )
        figures: Measured = {}
        for step in steps:
            kept = self._folder / f"{step.__name__.strip('_')}.json"
            if not kept.exists():
                self._refuse_to_be_late()
                kept.write_text(json.dumps(step()))
            figures |= json.loads(kept.read_text())
        return figures

    def _meet(self) -> Measured:
        with self._first.serving(), self._other.serving():
            self._other.crow("instances", "register", self._first.url)
        return {}

    def _fill(self) -> Measured:
        with Host(self._first.home) as host:
            with host.read() as db:
                [(there,)] = db.execute_sql("SELECT count(*) FROM memories").fetchall()
            texts = islice(many(list(memories()), self.rows), there, None)
            while contents := {str(each["id"]): _cut(str(each["content"])) for each in islice(texts, BATCH_ROWS)}:
                self._refuse_to_be_late()
                write(host, contents, [MADE_FROM + MADE_APART * (there + each) for each in range(len(contents))])
                there += len(contents)
        return {}

    def _write(self) -> Measured:
        with Host(self._first.home) as host:
            kept = Memories(host.hook.handle("memories"))
            return _times("write", [partial(kept.store, {"content": f"one more, {each}"}) for each in range(WRITES)])

    def _search(self) -> Measured:
        with Host(self._first.home) as host:
            while merge_some(host.hook.handle("memories"), INDEX):  # as a gateway does every ten minutes
                pass
        with Host(self._first.home) as host, host.read() as db:
            queries = [query for each in QUERIES.values() for query in each]
            look = partial(search, db, filters=Filters(), limit=10, now=int(time.time()))
            return _times("search", [partial(look, query) for _ in range(ROUNDS) for query in queries])

    def _start(self) -> Measured:
        token, seconds = self._first.token(), []
        for _ in range(STARTS):
            began = time.perf_counter()
            with self._first.serving():
                asked(self._first, token)
                seconds.append(time.perf_counter() - began)
                assert self._first.process is not None
                mebibytes = resident_mebibytes(self._first.process.pid)
        return {"start to first answer, s": median(seconds), "memory after it, MiB": mebibytes}

    def _catch_up(self) -> Measured:
        """Rows a second until all are there, or the minutes are over: what comes last comes onto the most rows."""
        with ExitStack() as stack:
            stack.enter_context(self._first.serving())
            stack.enter_context(self._other.serving())
            began, reader, applied = time.perf_counter(), self._other.reader(), 0
            sizes = []
            while applied < self.rows and time.monotonic() < self._until:
                time.sleep(LOOK_SECONDS)
                applied = reader.execute("SELECT coalesce(max(last_seq), 0) FROM sync_state").get
                assert self._other.process is not None
                sizes.append(resident_mebibytes(self._other.process.pid))
            seconds = time.perf_counter() - began
        rate = {"catching up, rows/s": applied / seconds, "memory while catching up, MiB": max(sizes)}
        return rate if applied >= self.rows else {**rate, "of them applied": applied}

    def _refuse_to_be_late(self) -> None:
        if time.monotonic() > self._until:
            raise OutOfTime


def _cut(text: str) -> str:
    return text.encode()[:ROW_BYTES].decode(errors="ignore")


def _times(name: str, works: Sequence[Callable[[], object]]) -> Measured:
    """What each takes by the clock, and of the processor, which says the same on a busy machine."""
    clock, processor = [], []
    for work in works:
        began, had = time.perf_counter(), time.thread_time()
        work()
        clock.append((time.perf_counter() - began) * 1000)
        processor.append((time.thread_time() - had) * 1000)
    return {
        f"{name}, p50 ms": median(clock),
        f"{name}, p95 ms": percentile(clock, 0.95),
        f"{name}, processor p50 ms": median(processor),
        f"{name}, processor p95 ms": percentile(processor, 0.95),
    }


def _table(found: dict[int, Measured]) -> Table:
    table = Table("", *(f"{rows:,} rows" for rows in found), box=None, pad_edge=False)
    for name in dict.fromkeys(name for figures in found.values() for name in figures):
        table.add_row(name, *(f"{figures[name]:,.4g}" if name in figures else "" for figures in found.values()))
    return table


def _folder(stack: ExitStack, given: Path | None) -> Path:
    return given or Path(stack.enter_context(TemporaryDirectory(prefix="crow-bench-")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Measure how figures grow with rows.")
    parser.add_argument("--rows", type=int, action="append", help="so many, and again; 10,000 and 100,000 if not said")
    parser.add_argument("--folder", type=Path, help="go on in there, and keep it")
    parser.add_argument("--minutes", type=float, default=600, help="stop after so many")
    asked_for = parser.parse_args()
    if shutil.which("apt-cache") is None:
        sys.exit(MISSING)
    until = time.monotonic() + 60 * asked_for.minutes
    with ExitStack() as stack:
        folder = _folder(stack, asked_for.folder)
        found: dict[int, Measured] = {}
        try:
            for rows in asked_for.rows or [10_000, 100_000]:
                found[rows] = Growing(folder, rows, until).measured()
        except OutOfTime:
            sys.exit("the minutes are over; run it again, it goes on from here")
        Console().print(_table(found))


if __name__ == "__main__":
    main()

"""Catching up between two gateways, each a process of its own, beside npm's hypercore and PouchDB.

Timed from the moment the second gateway answers until its database has applied the last row: dialled, verified,
joined, written, searchable. Beside it, in the same run, npm's hypercore replicates as many blocks of the size of a row
from one process to another, and does nothing else with them; and PouchDB takes documents of that size from its server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, at_least, measured
from bench.machines import Machine
from bench.processes import INTEROP, PEERS, installed, node, running, said
from bench.size import Size
from crow_hooks import new_row_id
from crow_plugins.host import Host
from crow_plugins.memories.memory import MEMORY

ROW_BYTES, BATCH_ROWS = 300, 1000
LIMITS = at_least(1.0, 2.5)
SECONDS_MAX = 600.0
TEXT = "The auditor comes on the third Thursday of the month, and asks for the folder with the quarterly figures. " * 3


def measure(size: Size) -> Iterator[Figure]:
    ours, theirs = [], []
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        grackle, *others = (Machine(Path(folder) / f"machine{number}") for number in range(size.rounds + 1))
        with grackle.serving():
            for other in others:
                with other.serving():
                    other.crow("instances", "register", grackle.url)
        fill(grackle, size.rows)
        for other in others:
            with grackle.serving(), other.serving():
                ours.append(size.rows / seconds_until_applied(other, grackle, size.rows))
            if installed(INTEROP, "hypercore"):
                theirs.append(size.rows / _npm_seconds(size.rows))
    yield measured(f"catching up with {size.rows:,} rows", ours, "rows/s")
    if theirs:
        yield measured("npm hypercore, bare blocks of that size", theirs, "blocks/s")
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        yield measured("catching up against npm's bare blocks", ratios, "×", LIMITS)
    if installed(PEERS, "express-pouchdb"):
        documents = [size.documents / _pouch_seconds(size.documents) for _ in range(size.rounds)]
        yield measured(f"PouchDB from its server, {size.documents:,} documents", documents, "documents/s")


def fill(machine: Machine, rows: int) -> None:
    """Write rows by the door, so many in a transaction."""
    with Host(machine.home) as host:
        for start in range(0, rows, BATCH_ROWS):
            numbers = range(start, min(rows, start + BATCH_ROWS))
            contents = {new_row_id(): f"{number} {TEXT}"[:ROW_BYTES] for number in numbers}
            write(host, contents, [int(time.time())] * len(contents))


def write(host: Host, contents: Mapping[str, str], times: Sequence[int]) -> None:
    """Memories by their ids, in one transaction, each made at its time (unix seconds)."""
    with host.transaction() as transaction:
        origin = host.instance.id
        rows = {
            row_id: MEMORY.new({"content": content}, origin=origin, now=at)
            for (row_id, content), at in zip(contents.items(), times, strict=True)
        }
        transaction.insert("memory_insert", MEMORY.table, rows)


def seconds_until_applied(machine: Machine, writer: Machine, rows: int) -> float:
    began, database = time.perf_counter(), machine.reader()
    while time.perf_counter() - began < SECONDS_MAX:
        row = database.execute("SELECT last_seq FROM sync_state WHERE instance_id = ?", (writer.id,)).fetchone()
        if row is not None and row[0] >= rows:
            elapsed = time.perf_counter() - began
            [(found,)] = database.execute("SELECT count(*) FROM memories_fts WHERE memories_fts MATCH 'auditor'")
            assert found == rows, found
            return elapsed
        time.sleep(0.02)
    raise TimeoutError(f"{machine.name} did not catch up: {row}")


def _npm_seconds(rows: int) -> float:
    """What npm's hypercore takes for as many blocks."""
    bare = INTEROP / "bare.mjs"
    with running(node(bare, "give", rows, ROW_BYTES)) as giving:
        feed = giving.heard()
        return float(said(node(bare, "take", feed["port"], feed["key"], rows))["seconds"])


def _pouch_seconds(documents: int) -> float:
    pouch = PEERS / "pouch.mjs"
    with running(node(pouch, "serve", documents, ROW_BYTES)) as serving:
        return float(said(node(pouch, "take", serving.heard()["url"], documents))["seconds"])

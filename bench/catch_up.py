"""Sync between two gateways, each a process of its own: catching up, and how soon a write is on the other machine.

Catching up is timed from the moment the second gateway answers until its database has applied the last row: dialled,
verified, joined, written, searchable. Beside it, in the same run, npm's hypercore replicates as many blocks of the
size of a row from one process to another, and does nothing else with them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import apsw

from bench.figures import Figure, percentile
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring
from crow_plugins.memories.memories import Memories

ROWS = int(os.environ.get("CROW_BENCH_ROWS", "100000"))
ROW_BYTES, BATCH_ROWS = 300, 1000
LIVE_WRITES, LIVE_APART_SECONDS = 300, 0.02
LIVE_FLOOR_MS = 10.0
SECONDS_MAX = 600.0
INTEROP = Path(__file__).parent.parent / "tests" / "interop"
TEXT = "The auditor comes on the third Thursday of the month, and asks for the folder with the quarterly figures. " * 3


def measure() -> list[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder, ExitStack() as stack:
        grackle, swan = (Machine(Path(folder) / name) for name in ("grackle", "swan"))
        with grackle.serving(), swan.serving():
            swan.crow("instances", "register", grackle.url)
        grackle.fill(ROWS)
        stack.enter_context(grackle.serving())
        stack.enter_context(swan.serving())
        ours = ROWS / swan.seconds_until_applied(grackle, ROWS)
        live = list(_live(grackle, swan))
        theirs = ROWS / _npm_seconds() if _npm_is_here() else None
    p50, p99 = percentile(live, 0.5), percentile(live, 0.99)
    return [
        Figure(f"catching up with {ROWS:,} rows", f"{ours:,.0f} rows/s"),
        *([Figure("npm hypercore, bare blocks of that size", f"{theirs:,.0f} blocks/s")] if theirs else []),
        *([Figure("the first against the second", f"{ours / theirs:.2f} ×", "1 ×", ours > theirs)] if theirs else []),
        Figure(
            "written on one, visible on the other",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            f"p50 {LIVE_FLOOR_MS:.0f} ms",
            p50 < LIVE_FLOOR_MS,
        ),
    ]


class Machine:
    """One installation with a gateway on a port of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home, self.name = home, home.name
        self.id = Keyring.create(
            home, name=home.name, role="home", now=int(time.time()), seed=b"\x11" * 32
        ).identity.instance_id
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def crow(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "crow_plugins", *arguments, "--home", str(self.home)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @contextmanager
    def serving(self) -> Iterator[None]:
        command = [sys.executable, "-m", "crow_plugins", "serve", "--home", str(self.home), "--json"]
        with subprocess.Popen(
            [*command, "--port", str(self._port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("the gateway did not start")
            try:
                yield
            finally:
                process.terminate()

    def fill(self, rows: int) -> None:
        with Host(self.home) as host:
            for start in range(0, rows, BATCH_ROWS):
                with host.transaction() as transaction:
                    for number in range(start, min(rows, start + BATCH_ROWS)):
                        row_id = _row_id(number)
                        content = f"{number} {TEXT}"[:ROW_BYTES]
                        transaction.db.execute_sql(
                            "INSERT INTO memories (id, content, category, importance, tags, origin_instance, "
                            "created_at, updated_at) VALUES (?, ?, 'general', 5, '[]', ?, ?, ?)",
                            (row_id, content, host.instance.id, transaction.now, transaction.now),
                        )
                        transaction.record("memory_insert", "memories", row_id)

    def seconds_until_applied(self, other: Machine, rows: int) -> float:
        began, database = time.perf_counter(), self.reader()
        while time.perf_counter() - began < SECONDS_MAX:
            row = database.execute("SELECT last_seq FROM sync_state WHERE instance_id = ?", (other.id,)).fetchone()
            if row is not None and row[0] >= rows:
                [(found,)] = database.execute("SELECT count(*) FROM memories_fts WHERE memories_fts MATCH 'auditor'")
                assert found == rows, found
                return time.perf_counter() - began
            time.sleep(0.02)
        raise TimeoutError(f"{self.name} did not catch up: {row}")

    def reader(self) -> apsw.Connection:
        return apsw.Connection(str(self.home / "crow.db"), flags=apsw.SQLITE_OPEN_READONLY)


def _live(source: Machine, target: Machine) -> Iterator[float]:
    """Milliseconds from before a write to its being in the other database, one write at a time."""
    reader = target.reader()
    with Host(source.home) as host:
        memories = Memories(host.hook.handle("memories"))
        for number in range(LIVE_WRITES):
            began = time.perf_counter()
            row_id = memories.store({"content": f"live {number} {TEXT}"[:ROW_BYTES]}).id
            while not reader.execute("SELECT 1 FROM memories WHERE id = ?", (row_id,)).fetchone():
                if time.perf_counter() - began > SECONDS_MAX:
                    raise TimeoutError(f"{row_id} did not arrive")
                time.sleep(0.0002)
            yield (time.perf_counter() - began) * 1000
            time.sleep(LIVE_APART_SECONDS)


def _npm_is_here() -> bool:
    return shutil.which("node") is not None and (INTEROP / "node_modules" / "hypercore").is_dir()


def _npm_seconds() -> float:
    """What npm's hypercore takes for as many blocks."""
    with _node("give", ROWS, ROW_BYTES) as giving:
        feed = json.loads(giving.readline())
        with _node("take", feed["port"], feed["key"], ROWS) as taking:
            return float(json.loads(taking.readline())["seconds"])


@contextmanager
def _node(*arguments: object) -> Iterator[IO[str]]:
    command = ["node", "bare.mjs", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=INTEROP, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.stdin.close()


def _row_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

"""The feed beside npm's hypercore in one run: both give to both, over TCP on loopback, and both append.

Each side is a process of its own, and both switch Nagle's delay off. Ours verifies every block and commits it to
SQLite with `synchronous=FULL`; npm's verifies and stores too, and does not sync.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.figures import Figure

BLOCKS = int(os.environ.get("CROW_BENCH_BLOCKS", "100000"))
ROUNDS = int(os.environ.get("CROW_BENCH_ROUNDS", "3"))
BLOCK_BYTES, BATCH, SINGLE = 300, 1000, 2000
ROOT = Path(__file__).parent.parent
INTEROP = ROOT / "tests" / "interop"
PYTHON, NODE = [sys.executable, "-m", "bench.feed_peer"], ["node", str(INTEROP / "bare.mjs")]
WAYS = {
    "npm to npm": (NODE, NODE, None),
    "Python to Python": (PYTHON, PYTHON, 2.0),
    "npm to Python": (NODE, PYTHON, 1.2),
    "Python to npm": (PYTHON, NODE, 0.9),
}
APPENDS = {"one at a time": (SINGLE, 1, 1.0), "in batches of 1,000": (BLOCKS, BATCH, 0.9)}


def measure() -> list[Figure]:
    if shutil.which("node") is None or not (INTEROP / "node_modules" / "hypercore").is_dir():
        return [Figure("npm's hypercore is not here", "run npm ci in tests/interop")]
    return [*_replication(), *_appends()]


def _replication() -> Iterator[Figure]:
    """In turns, so that a machine that is busy for a while is busy for all."""
    rounds = [
        {name: BLOCKS / _seconds(giver, taker) for name, (giver, taker, _) in WAYS.items()} for _ in range(ROUNDS)
    ]
    for name, (_, _, floor) in WAYS.items():
        rate = statistics.median(each[name] for each in rounds)
        yield _figure(f"{name}, blocks/s", rate, [each[name] / each["npm to npm"] for each in rounds], floor)


def _appends() -> Iterator[Figure]:
    for name, (count, batch, floor) in APPENDS.items():
        rounds = [[count / _append_seconds(peer, count, batch) for peer in (PYTHON, NODE)] for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        yield _figure(f"npm appends {name}, blocks/s", theirs, [], None)
        yield _figure(f"ours, each synced, {name}, blocks/s", ours, [our / their for our, their in rounds], floor)


def _figure(name: str, rate: float, ratios: list[float], floor: float | None) -> Figure:
    if floor is None:
        return Figure(name, f"{rate:,.0f}")
    ratio = statistics.median(ratios)
    value = f"{rate:,.0f}: {ratio:.2f} × npm ({min(ratios):.2f} to {max(ratios):.2f})"
    return Figure(name, value, f"{floor} ×", ratio >= floor)


def _seconds(giver: list[str], taker: list[str]) -> float:
    with _running(giver, "give", BLOCKS, BLOCK_BYTES) as giving:
        feed = json.loads(giving.readline())
        with _running(taker, "take", feed["port"], feed["key"], BLOCKS) as taking:
            return float(json.loads(taking.readline())["seconds"])


def _append_seconds(peer: list[str], count: int, batch: int) -> float:
    with _running(peer, "append", count, batch, BLOCK_BYTES) as appending:
        return float(json.loads(appending.readline())["seconds"])


@contextmanager
def _running(command: list[str], *arguments: object) -> Iterator[IO[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *map(str, arguments)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.stdin.close()

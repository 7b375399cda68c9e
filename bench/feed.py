"""The feed beside npm's hypercore in one run: both give to both, over TCP on loopback, and both append.

Each side is a process of its own, and both switch Nagle's delay off. Ours verifies every block and commits it to
SQLite with `synchronous=FULL`; npm's verifies and stores too, and does not sync.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure, at_least, measured
from bench.processes import INTEROP, PEERS, installed, node, python, running, said
from bench.size import Size

BLOCK_BYTES, BATCH = 300, 1000
PYTHON, NODE = python("bench.feed_peer"), node(INTEROP / "bare.mjs")
WAYS = {
    "npm to npm": (NODE, NODE, None),
    "Python to Python": (PYTHON, PYTHON, at_least(2, 4)),
    "npm to Python": (NODE, PYTHON, at_least(1.2, 2)),
    "Python to npm": (PYTHON, NODE, at_least(0.9, 1.1)),
}
APPENDS = {"one at a time": (1, at_least(1, 1.5)), f"in batches of {BATCH:,}": (BATCH, at_least(0.9, 1.5))}


def measure(size: Size) -> Iterator[Figure]:
    if not installed(INTEROP, "hypercore"):
        yield Figure("npm's hypercore is not here", "run npm ci in tests/interop")
        return
    yield from _replication(size)
    yield from _appends(size)
    if installed(PEERS, "autobase"):
        autobase = node(PEERS / "autobase.mjs", "append", size.singles, BLOCK_BYTES)
        rounds = [size.singles / said(autobase)["seconds"] for _ in range(size.rounds)]
        yield measured("Autobase appends one at a time", rounds, "entries/s")


def _replication(size: Size) -> Iterator[Figure]:
    """In turns, so that a machine that is busy for a while is busy for all."""
    rounds = [
        {name: size.blocks / _seconds(giver, taker, size.blocks) for name, (giver, taker, _) in WAYS.items()}
        for _ in range(size.rounds)
    ]
    for name, (_, _, limits) in WAYS.items():
        yield measured(name, [each[name] for each in rounds], "blocks/s")
        if limits:
            ratios = [each[name] / each["npm to npm"] for each in rounds]
            yield measured(f"{name} against npm to npm", ratios, "×", limits)


def _appends(size: Size) -> Iterator[Figure]:
    for name, (batch, limits) in APPENDS.items():
        count = size.singles if batch == 1 else size.blocks
        rounds = [(_appended(PYTHON, count, batch), _appended(NODE, count, batch)) for _ in range(size.rounds)]
        yield measured(f"npm appends {name}", [theirs for _, theirs in rounds], "blocks/s")
        yield measured(f"ours, each synced, {name}", [ours for ours, _ in rounds], "blocks/s")
        yield measured(f"ours against npm's, {name}", [ours / theirs for ours, theirs in rounds], "×", limits)


def _seconds(giver: list[object], taker: list[object], blocks: int) -> float:
    with running([*giver, "give", blocks, BLOCK_BYTES]) as giving:
        feed = giving.heard()
        return float(said([*taker, "take", feed["port"], feed["key"], blocks])["seconds"])


def _appended(peer: list[object], count: int, batch: int) -> float:
    """Blocks a second."""
    return count / float(said([*peer, "append", count, batch, BLOCK_BYTES])["seconds"])

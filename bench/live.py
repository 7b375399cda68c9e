"""How soon what is written on one machine is in the other's database, beside PouchDB with its server.

Both ways one thing is written at a time, a little apart, to a machine that has just been idle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.catch_up import ROW_BYTES, SECONDS_MAX, TEXT
from bench.figures import NO_LIMITS, Figure, Limits, below, measured, percentile
from bench.machines import Machine
from bench.processes import PEERS, installed, node, running
from bench.size import Size
from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories

P50, P99 = below(10, 3), below(None, 15)
APART_SECONDS = 0.02
GROUPS, WARM_UP = 5, 10


def measure(size: Size) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        grackle, swan = (Machine(Path(folder) / name) for name in ("grackle", "swan"))
        with grackle.serving(), swan.serving():
            swan.crow("instances", "register", grackle.url)
            ours = list(_milliseconds(grackle, swan, WARM_UP + size.live))[WARM_UP:]
    yield from _figures("written on one machine, visible on the other", ours, P50, P99)
    if installed(PEERS, "express-pouchdb"):
        theirs = list(_pouch_milliseconds(WARM_UP + size.live))[WARM_UP:]
        yield from _figures("PouchDB, from its server", theirs, NO_LIMITS, NO_LIMITS)


def _figures(name: str, times: list[float], p50: Limits, p99: Limits) -> Iterator[Figure]:
    """The spread is that of some groups, one after the other."""
    each = max(1, len(times) // GROUPS)
    groups = [times[start : start + each] for start in range(0, len(times) - each + 1, each)]
    for part, limits in ((0.5, p50), (0.99, p99)):
        spread = [percentile(group, part) for group in groups]
        yield measured(f"{name}, p{part * 100:.0f}", spread, "ms", limits, value=percentile(times, part))


def _milliseconds(source: Machine, target: Machine, count: int) -> Iterator[float]:
    """From before each write to its being in the other database."""
    reader = target.reader()
    with Host(source.home) as host:
        memories = Memories(host.hook.handle("memories"))
        for number in range(count):
            began = time.perf_counter()
            row_id = memories.store({"content": f"live {number} {TEXT}"[:ROW_BYTES]}).id
            while not reader.execute("SELECT 1 FROM memories WHERE id = ?", (row_id,)).fetchone():
                if time.perf_counter() - began > SECONDS_MAX:
                    raise TimeoutError(f"{row_id} did not arrive")
                time.sleep(0.0002)
            yield (time.perf_counter() - began) * 1000
            time.sleep(APART_SECONDS)


def _pouch_milliseconds(count: int) -> Iterator[float]:
    pouch = PEERS / "pouch.mjs"
    with ExitStack() as stack:
        serving = stack.enter_context(running(node(pouch, "serve", 1, ROW_BYTES)))
        following = stack.enter_context(running(node(pouch, "follow", serving.heard()["url"])))
        following.heard()
        for _ in range(count):
            serving.tell("write")
            yield float(following.heard()["milliseconds"])
            time.sleep(APART_SECONDS)

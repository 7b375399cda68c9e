"""Sync: every feed, how far it is, how fast it goes, and what waits or was refused."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import pairwise

from starlette.responses import Response

from crow_hooks import REPLICATION, Crow
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

PAGE = f"{ROOT}/sync"
SAMPLES, SAMPLE_SECONDS = 60, 5.0
WIDTH, HEIGHT = 240, 40


class Throughput:
    """Entries applied and written, sampled every few seconds, for a small drawing."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)

    def add(self, entries: int) -> None:
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, entries))

    @property
    def rates(self) -> list[float]:
        """Entries a second between two samples."""
        samples = list(self._samples)
        return [max(0.0, (later[1] - earlier[1]) / (later[0] - earlier[0])) for earlier, later in pairwise(samples)]

    @property
    def points(self) -> str:
        """The same as points of a line."""
        rates = self.rates or [0.0]
        highest = max(rates) or 1.0
        step = WIDTH / max(1, SAMPLES - 1)
        heights = [HEIGHT - 2 - (HEIGHT - 4) * rate / highest for rate in rates]
        return " ".join(f"{number * step:.1f},{height:.1f}" for number, height in enumerate(heights))


class Sync:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house
        self.throughput = Throughput()

    async def show(self, visit: Visit) -> Response:
        self._house.require("replicator")
        status = await self._house.call("crow_sync_status")
        self.throughput.add(sum(feed["applied"] for feed in status["feeds"]))
        waiting = await asyncio.to_thread(self._crow.service(REPLICATION).troubles)
        return self._web.shown(visit, "sync.html", state=status, throughput=self.throughput, troubles=waiting)

    async def now(self, visit: Visit) -> Response:
        progress = await self._house.call("crow_sync_now", wait_seconds=5.0)
        done = "Everything is here" if progress["complete"] else f"{progress['remaining']} entries are still to come"
        return redirect(PAGE, done)

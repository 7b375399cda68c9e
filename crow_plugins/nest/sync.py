"""Sync: every feed, how far it is, how fast it goes, and what waits or was refused."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from crow_hooks import REPLICATION, Crow
from crow_plugins import remarks
from crow_plugins.nest.house import House
from crow_plugins.nest.instances import said_of
from crow_plugins.nest.throughput import Throughput
from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.remarks import Remark

PAGE = f"{ROOT}/sync"


class Sync:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house
        self.throughput = Throughput()

    async def show(self, visit: Visit) -> Response:
        self._house.require("replicator")
        status = await self._house.sync_status()
        self._add(status["feeds"])
        found = remarks.of_sync(status) or [Remark("good", "Everything that was heard of is here")]
        return self._web.shown(
            visit,
            "sync.html",
            state_of=status,
            remarks=found,
            names=self._house.names(),
            throughput=self.throughput.drawn(),
            troubles=await asyncio.to_thread(self._crow.service(REPLICATION).troubles),
        )

    async def now(self, visit: Visit) -> Response:
        progress = await self._house.call("crow_sync_now", wait_seconds=5.0)
        return redirect(PAGE, said_of(progress))

    async def sample(self) -> None:
        """Look how far the feeds are, for the drawing; called now and then while a page is open."""
        if self._house.has("replicator"):
            self._add((await self._house.sync_status())["feeds"])

    def _add(self, feeds: list[dict[str, int]]) -> None:
        self.throughput.add(sum(feed["applied"] for feed in feeds))

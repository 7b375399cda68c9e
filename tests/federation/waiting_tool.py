"""A tool that another instance may call and that answers when a test lets it."""

from __future__ import annotations

import asyncio
from asyncio import to_thread

from fastmcp import Context
from mcp_types import ToolAnnotations

from crow_plugins.federation.inbound import INBOUND
from tests.replicator.gateways import Instance

NAME = "wait"


class WaitingTool:
    """How many calls came to it, and how many of them were cancelled before they were let."""

    def __init__(self) -> None:
        self.came, self.cancelled = 0, 0
        self._changed, self._let = asyncio.Condition(), asyncio.Semaphore(0)

    async def open_on(self, instance: Instance) -> None:
        instance.host.server.tool(self._run, name=NAME, annotations=ToolAnnotations(read_only_hint=True))
        exposure = instance.host.services.find("tests", INBOUND).exposure
        await to_thread(exposure.expose, NAME)

    def let(self, count: int) -> None:
        """Let so many calls answer, of those that are here or will be."""
        for _ in range(count):
            self._let.release()

    async def until(self, *, came: int = 0, cancelled: int = 0) -> None:
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: self.came >= came and self.cancelled >= cancelled)

    async def _run(self, context: Context, steps: int = 0) -> str:
        for step in range(steps):
            await context.report_progress(step + 1, steps, f"step {step + 1}")
        self.came += 1
        await self._tell()
        try:
            await self._let.acquire()
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.shield(self._tell())
            raise
        return "let"

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

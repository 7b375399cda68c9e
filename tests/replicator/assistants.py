"""Gateways of one chain, each with an assistant that calls its tools over HTTP and does nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

from crow_plugins import bearer
from tests.replicator.gateways import WAIT_SECONDS, Instance, acquainted, make_home, open_instance, serving

SEED = b"\7" * 32
Answer = dict[str, Any]


@dataclass
class Machine:
    """A gateway and an assistant of it."""

    instance: Instance
    assistant: Client[Any]

    async def call(self, tool: str, **arguments: object) -> Answer:
        result = await self.assistant.call_tool(tool, arguments)
        assert result.structured_content is not None
        return result.structured_content

    async def sees(self, tool: str, true: Callable[[Answer], bool], **arguments: object) -> Answer:
        """Call a tool until its answer is so; a row that is not there yet is waited for."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                answer = await self._found(tool, arguments)
                if answer is not None and true(answer):
                    return answer
                await asyncio.sleep(0.02)

    async def misses(self, tool: str, **arguments: object) -> None:
        """Call a tool until it says that there is no such row."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self._found(tool, arguments) is not None:  # noqa: ASYNC110  # a gateway tells no event
                await asyncio.sleep(0.02)

    async def conflicts(self, count: int) -> list[Answer]:
        """Wait until this many conflicts are open."""
        return list((await self.sees("crow_list_conflicts", lambda found: len(found["items"]) == count))["items"])

    async def blocks(self) -> list[bytes]:
        """Every entry of every feed that is held here."""
        return await asyncio.to_thread(self._blocks)

    def _blocks(self) -> list[bytes]:
        with self.instance.host.read() as db:
            return [bytes(value) for (value,) in db.execute_sql("SELECT value FROM feed_blocks").fetchall()]

    async def types(self) -> set[str]:
        """The change types in the feeds."""
        return {json.loads(block)["type"] for block in await self.blocks()}

    async def _found(self, tool: str, arguments: dict[str, object]) -> Answer | None:
        try:
            return await self.call(tool, **arguments)
        except ToolError as error:
            if str(error).startswith("not_found"):
                return None
            raise


@asynccontextmanager
async def two_machines(folder: Path, manifest: str = "") -> AsyncIterator[tuple[Machine, Machine]]:
    """Grackle and swan, who know each other; `manifest` is what theirs say besides."""
    async with AsyncExitStack() as stack:
        machines = [await _machine(stack, folder, name, manifest) for name in ("grackle", "swan")]
        await acquainted(*(machine.instance for machine in machines))
        yield machines[0], machines[1]


@asynccontextmanager
async def apart(*machines: Machine) -> AsyncIterator[None]:
    """Nobody hears anybody meanwhile."""
    for machine in machines:
        await machine.instance.apart()
    yield
    for machine in machines:
        await machine.instance.together()


async def _machine(stack: AsyncExitStack, folder: Path, name: str, manifest: str) -> Machine:
    home = make_home(folder, name, SEED)
    with (home / "plugin_manifest.toml").open("a") as file:
        file.write(manifest)
    instance = open_instance(home)
    stack.callback(instance.host.close)
    await stack.enter_async_context(serving(instance))
    transport = StreamableHttpTransport(f"{instance.url}/mcp", auth=await asyncio.to_thread(_token, instance))
    return Machine(instance, await stack.enter_async_context(Client(transport)))


def _token(instance: Instance) -> str:
    with instance.host.transaction() as transaction:
        return bearer.create(transaction.db, "test", bearer.SCOPES, now=transaction.now)[0]

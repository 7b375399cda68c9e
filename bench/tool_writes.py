"""The write of a memory through the MCP tool, as an assistant makes it, over one connection that is kept.

Beside it, in turns: a call of a tool that does nothing, of a FastMCP server that is nothing else, and the bare insert
of the same row into the same searchable table. What ours takes beyond the bare call is told in such inserts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.figures import Figure, below, measured
from bench.machines import Machine
from bench.processes import python, running
from bench.size import Size
from bench.writes import TEXT, bare_inserts
from crow_plugins.memories.schema import MIGRATIONS

LIMITS = below(1.5, 1.1)
ROUNDS = 5


def measure(size: Size) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder, ExitStack() as stack:
        machine = Machine(Path(folder) / "grackle")
        token = machine.token()
        stack.enter_context(machine.serving())
        bare = stack.enter_context(running(python("bench.bare_server"))).heard()["mcp"]
        insert = stack.enter_context(bare_inserts(Path(folder) / "same.db", MIGRATIONS[0]))
        rounds = asyncio.run(_rounds(bare, f"{machine.url}/mcp", token, insert, size.calls))
    names = ("bare call of a tool that does nothing", "bare insert", "write through the MCP tool")
    for name, times in zip(names, zip(*rounds, strict=True), strict=True):
        yield measured(name, times, "ms")
    more = [(tool - call) / insert for call, insert, tool in rounds]
    yield measured("what the tool takes beyond the bare call, in bare inserts", more, "×", LIMITS)


async def _rounds(
    bare: str, gateway: str, token: str, insert: Callable[[int], object], calls: int
) -> list[tuple[float, float, float]]:
    """Of each round the medians, in milliseconds: of bare calls, of bare inserts and of writes through the tool."""
    async with AsyncExitStack() as stack:
        nothing = await stack.enter_async_context(Client(StreamableHttpTransport(bare)))
        crow = await stack.enter_async_context(Client(StreamableHttpTransport(gateway, auth=token)))
        rounds = []
        for start in range(0, calls, max(1, calls // ROUNDS)):
            times: tuple[list[float], list[float], list[float]] = ([], [], [])
            for number in range(start, min(calls, start + max(1, calls // ROUNDS))):
                times[0].append(await _milliseconds(nothing, "store_memory", number))
                began = time.perf_counter()
                insert(number)
                times[1].append((time.perf_counter() - began) * 1000)
                times[2].append(await _milliseconds(crow, "crow_store_memory", number))
            rounds.append((median(times[0]), median(times[1]), median(times[2])))
        return rounds


async def _milliseconds(client: Client[Any], tool: str, number: int) -> float:
    arguments = {"content": f"{number} {TEXT}", "category": "work", "tags": ["tax"]}
    began = time.perf_counter()
    await client.call_tool(tool, arguments)
    return (time.perf_counter() - began) * 1000

"""Searches by MCP calls over HTTP, to a gateway in another process that holds 60,000 real texts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.figures import Figure, below, measured, percentile
from bench.imports import imported
from bench.machines import Machine
from bench.queries import QUERIES
from bench.size import Size

LIMITS = below(20)
ROUNDS, PINGS = 5, 100


def measure(size: Size) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        machine = Machine(Path(folder) / "grackle")
        rows, _ = imported(machine.home, size.imported)
        token = machine.token()
        with machine.serving():
            pings, rounds = asyncio.run(_times(f"{machine.url}/mcp", token))
    yield measured("a call that does nothing, p50", [percentile(pings, 0.5)], "ms")
    name = f"search of {rows:,} memories by a call"
    yield measured(f"{name}, p50", [percentile(times, 0.5) for times in rounds], "ms")
    yield measured(f"{name}, p95", [percentile(times, 0.95) for times in rounds], "ms", LIMITS)


async def _times(address: str, token: str) -> tuple[list[float], list[list[float]]]:
    """Milliseconds: of calls that do nothing, and of every query, round by round."""
    async with Client(StreamableHttpTransport(address, auth=token)) as client:
        pings = [await _milliseconds(client, "crow_list_plugins", {}) for _ in range(PINGS)]
        every = [query for queries in QUERIES.values() for query in queries]
        search = "crow_search_memories"
        rounds = [[await _milliseconds(client, search, {"query": each}) for each in every] for _ in range(ROUNDS)]
    return pings, rounds


async def _milliseconds(client: Client[Any], tool: str, arguments: dict[str, object]) -> float:
    began = time.perf_counter()
    await client.call_tool(tool, arguments)
    return (time.perf_counter() - began) * 1000

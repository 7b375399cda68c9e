"""From starting a gateway to the first answered call: process, database, plugins, connection, tool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.figures import Figure, below, measured
from bench.machines import Machine
from bench.size import Size

LIMITS = below(2, 1)


def measure(size: Size) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        machine = Machine(Path(folder) / "grackle")
        token = machine.token()
        seconds = [seconds_to_the_first_answer(machine, token) for _ in range(size.starts)]
    yield measured("start to first answered call", seconds, "s", LIMITS)


def seconds_to_the_first_answer(machine: Machine, token: str) -> float:
    began = time.perf_counter()
    with machine.serving():
        asked(machine, token)
        return time.perf_counter() - began


def asked(machine: Machine, token: str) -> None:
    """Have a running gateway answer one call."""
    asyncio.run(_asked(f"{machine.url}/mcp", token))


async def _asked(address: str, token: str) -> None:
    async with Client(StreamableHttpTransport(address, auth=token)) as client:
        await client.call_tool("crow_search_memories", {"query": "telescope mount"})

"""Calls over HTTP to a gateway in another process: how long after its start, and how long each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.figures import Figure, percentile
from bench.queries import QUERIES

START_SECONDS_FLOOR, SEARCH_MS_FLOOR = 2.0, 20.0
ROUNDS = 5


def measure(home: Path) -> list[Figure]:
    crow = [sys.executable, "-m", "crow_plugins"]
    made = subprocess.run(
        [*crow, "token", "create", "bench", "--home", str(home), "--json"], check=True, capture_output=True
    )
    token = json.loads(made.stdout)["token"]
    began = time.perf_counter()
    command = [*crow, "serve", "--home", str(home), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        address = json.loads(gateway.stdout.readline())["mcp"]
        try:
            return asyncio.run(_measure(address, token, began))
        finally:
            gateway.terminate()


async def _measure(address: str, token: str, began: float) -> list[Figure]:
    async with Client(StreamableHttpTransport(address, auth=token)) as client:
        await client.call_tool("crow_memory_stats", {})
        start = time.perf_counter() - began
        pings = [await _milliseconds(client, "crow_list_plugins", {}) for _ in range(100)]
        figures = [
            Figure("start to first answered call", f"{start:.2f} s", "2 s", start < START_SECONDS_FLOOR),
            Figure(
                "a call that does nothing", f"p50 {percentile(pings, 0.5):.1f} ms, p95 {percentile(pings, 0.95):.1f} ms"
            ),
        ]
        every: list[float] = []
        for kind, queries in QUERIES.items():
            times = [
                await _milliseconds(client, "crow_search_memories", {"query": query})
                for _ in range(ROUNDS)
                for query in queries
            ]
            every += times
            figures.append(_line(f"search, {kind}", times))
        return [*figures, _line("search, all", every, floor=SEARCH_MS_FLOOR)]


async def _milliseconds(client: Client[Any], tool: str, arguments: dict[str, object]) -> float:
    began = time.perf_counter()
    await client.call_tool(tool, arguments)
    return (time.perf_counter() - began) * 1000


def _line(name: str, times: list[float], floor: float | None = None) -> Figure:
    p95 = percentile(times, 0.95)
    value = f"p50 {percentile(times, 0.5):.1f} ms, p95 {p95:.1f} ms, max {max(times):.1f} ms"
    return Figure(name, value, f"p95 {floor:.0f} ms" if floor else "", None if floor is None else p95 < floor)

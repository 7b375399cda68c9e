"""The same tools over stdio, beside a running gateway, on one home."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from tests.gateway_process import running_gateway

pytestmark = pytest.mark.anyio
WRITERS_A_KIND, WRITES = 2, 500


def stdio(home: Path, **options: Any) -> Client[Any]:
    arguments = ["-m", "crow_plugins", "serve", "--stdio", "--home", str(home)]
    transport = StdioTransport(sys.executable, arguments, env=dict(os.environ), keep_alive=False)
    return Client(transport, **options)


def http(url: str, token: str) -> Client[Any]:
    return Client(StreamableHttpTransport(url, auth=token))


async def write(client: Client[Any], name: str) -> list[int]:
    """Store memories one after the other; returns their lamports."""
    async with client:
        answers = [
            await client.call_tool("crow_store_memory", {"content": f"{name} wrote {number}"})
            for number in range(WRITES)
        ]
    return [answer.structured_content["lamport_ts"] for answer in answers if answer.structured_content]


async def test_a_memory_stored_over_stdio_is_found_over_http(home: Path) -> None:
    with running_gateway(home) as gateway:
        async with stdio(home) as client:
            stored = await client.call_tool("crow_store_memory", {"content": "the kettle is descaled in May"})
        async with http(gateway.mcp, gateway.token) as client:
            found = await client.call_tool("crow_search_memories", {"query": "kettles"})
    assert stored.structured_content is not None
    assert found.structured_content is not None
    assert [hit["id"] for hit in found.structured_content["items"]] == [stored.structured_content["id"]]


async def test_stdio_works_where_nothing_was_made_yet(tmp_path: Path) -> None:
    async with stdio(tmp_path / "new") as client:
        assert "crow_store_memory" in [tool.name for tool in await client.list_tools()]


async def test_four_writers_over_both_transports_lose_nothing(home: Path) -> None:
    with running_gateway(home) as gateway:
        clients = [stdio(home) for _ in range(WRITERS_A_KIND)]
        clients += [http(gateway.mcp, gateway.token) for _ in range(WRITERS_A_KIND)]
        lamports = await asyncio.gather(*(write(client, f"writer {number}") for number, client in enumerate(clients)))
        async with http(gateway.mcp, gateway.token) as client:
            statistics = await client.call_tool("crow_memory_stats", {})
    together = sorted(lamport for each in lamports for lamport in each)
    assert together == list(range(1, 4 * WRITES + 1))
    assert statistics.structured_content is not None
    assert statistics.structured_content["total"] == 4 * WRITES

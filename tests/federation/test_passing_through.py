"""What passes through `crow_call_instance`, from an assistant's client to the tool on the other machine and back."""

from __future__ import annotations

import asyncio
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from tests.federation.chain import assistant_token, know
from tests.federation.test_many import Wire, many
from tests.federation.waiting_tool import NAME, WaitingTool
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio
STEPS, CALLS = 3, 50


async def assistant(asked: Instance, **options: Any) -> Client[Any]:
    token = await to_thread(assistant_token, asked)
    return Client(StreamableHttpTransport(f"{asked.url}/mcp", auth=token), **options)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_comes_back_and_a_cancellation_goes_there(tmp_path: Path, mode: Any) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        tool, heard = WaitingTool(), list[tuple[float, float | None, str | None]]()
        await tool.open_on(swan)

        async def note(done: float, total: float | None, message: str | None) -> None:
            heard.append((done, total, message))

        arguments = {"instance": "swan", "tool": NAME, "arguments": {"steps": STEPS}}
        async with await assistant(grackle, mode=mode) as client:
            tool.let(1)
            answer = await client.call_tool("crow_call_instance", arguments, progress_handler=note)
            assert answer.structured_content is not None
            assert answer.structured_content["text"] == "let"
            assert heard == [(step, STEPS, f"step {step}") for step in range(1, STEPS + 1)]
            calling = asyncio.create_task(client.call_tool("crow_call_instance", arguments))
            await tool.until(came=2)
            calling.cancel()
            await tool.until(cancelled=1)


async def test_local_tools_answer_while_one_that_hangs_is_waited_for(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made, Wire().open() as hung:
        grackle, swan = made.values()
        await to_thread(know, grackle, swan, hung)
        async with await assistant(grackle) as client, await assistant(grackle) as other:
            arguments = {"query": "x", "timeout_seconds": 60}
            searching = asyncio.create_task(other.call_tool("crow_federated_search", arguments))
            for _ in range(CALLS):
                await client.call_tool("crow_memory_stats", {})
            assert not searching.done(), "nothing of these calls waited for the one that hangs"
            searching.cancel()

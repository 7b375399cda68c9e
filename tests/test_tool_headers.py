"""The headers of a call over HTTP are checked against the schema of its tool, and no tool is listed for that."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx2
import pytest
from fastmcp import FastMCP
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.utilities.tests import asgi_server
from pydantic import Field

from crow_plugins import bearer
from crow_plugins.host import Host
from tests.federation.world import body_of, headers_of

pytestmark = pytest.mark.anyio


class Listings(Middleware):
    """Counts how often the tools are listed."""

    count = 0

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        self.count += 1
        return await call_next(context)


def weather(city: Annotated[str, Field(json_schema_extra={"x-mcp-header": "City"})]) -> str:
    """Tell the weather of a city, which a router finds in the headers, too."""
    return f"it rains in {city}"


async def called(host: Host, tool: str, arguments: dict[str, object], **headers: str) -> httpx2.Response:
    def created() -> str:
        with host.transaction() as transaction:
            return bearer.create(transaction.db, "test", now=transaction.now)[0]

    body = body_of("tools/call", name=tool, arguments=arguments)
    said = {**headers_of(body), **headers, "Authorization": f"Bearer {await asyncio.to_thread(created)}"}
    async with asgi_server(host.server) as running, running.http_client() as web:
        answer = await web.post("/mcp", content=body, headers=said)
        assert isinstance(answer, httpx2.Response)
        return answer


async def test_no_tool_is_listed_for_a_call(host: Host) -> None:
    listings = Listings()
    host.server.add_middleware(listings)
    assert "once" in (await called(host, "crow_store_memory", {"content": "once"})).text
    assert listings.count == 0


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("city", "status"), [("Ulm", 200), ("Bern", 400)])
async def test_a_header_must_say_what_the_call_says(host: Host, nested: bool, city: str, status: int) -> None:
    """Of a tool of a plugin's server, and of one that this server mounts and that is not known beforehand."""
    _, part = host.contributions("register_server", FastMCP)[0]
    if nested:
        part.mount(inner := FastMCP("inner"))
    (inner if nested else part).tool(weather)
    answer = await called(host, "weather", {"city": "Ulm"}, **{"Mcp-Param-City": city})
    assert (answer.status_code, "rains in Ulm" in answer.text) == (status, status == 200)

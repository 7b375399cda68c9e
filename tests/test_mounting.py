"""Crow on somebody's own FastMCP server: exact names, nobody let in, two homes in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client, FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.utilities.tests import asgi_server

from crow_plugins import AuthenticationMissing, bearer, mount
from crow_plugins.host import Host
from crow_plugins.mounting import NameTaken

pytestmark = pytest.mark.anyio


def theirs(**options: Any) -> FastMCP:
    server = FastMCP("theirs", **options)

    @server.tool
    def greet() -> str:
        """Say hello."""
        return "hello"

    return server


async def token_of(host: Host, *scopes: bearer.Scope) -> str:
    def create() -> str:
        with host.transaction() as transaction:
            return bearer.create(transaction.db, "test", scopes or bearer.SCOPES, now=transaction.now)[0]

    return await asyncio.to_thread(create)


@asynccontextmanager
async def connected(server: FastMCP, token: str) -> AsyncIterator[Client[Any]]:
    async with asgi_server(server) as running, running.client(auth=token) as client:
        yield client


async def refused(server: FastMCP, token: str | None) -> int:
    headers = {"Accept": "application/json, text/event-stream"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    async with asgi_server(server) as running, running.http_client() as web:
        answer = await web.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
        assert isinstance(answer, httpx2.Response)
        return answer.status_code


async def test_all_tools_are_there_beside_their_own(home: Path) -> None:
    server = theirs()
    with mount(server, home) as host:
        async with Client(server) as client:
            names = {tool.name for tool in await client.list_tools()}
            assert {"greet", "crow_store_memory", "crow_search", "crow_list_plugins"} <= names
            stored = await client.call_tool("crow_store_memory", {"content": "on their server"})
            assert stored.structured_content is not None
            assert stored.structured_content["origin_instance"] == host.instance.id


async def test_health_and_list_changes_travel_with_it(home: Path) -> None:
    server = theirs()
    with mount(server, home) as host:
        async with asgi_server(server) as running, running.http_client() as web:
            assert (await web.get("/health")).json()["instance_id"] == host.instance.id
        assert len(host.list_changes) == 2


async def test_a_tool_of_the_same_name_is_refused_and_nothing_is_mounted(home: Path) -> None:
    server = theirs()
    server.tool(lambda: "mine", name="crow_search", description="Mine.")
    with pytest.raises(NameTaken, match="crow_search already; rename"):
        mount(server, home)
    assert {tool.name for tool in await server.list_tools()} == {"greet", "crow_search"}
    assert server.auth is None


async def test_names_of_a_plugin_that_is_off_and_of_prompts_and_resources_are_refused_too(home: Path) -> None:
    home.joinpath("plugin_manifest.toml").write_text('[[plugin]]\nname = "blog"\nenabled = false\n')
    server = theirs()
    server.tool(lambda: "mine", name="crow_create_post", description="Mine.")
    server.prompt(lambda: "mine", name="catch_up", description="Mine.")
    server.resource("crow://memories/{id}", name="mine")(lambda id: id)
    with pytest.raises(NameTaken) as refusal:
        mount(server, home)
    assert "tools called crow_create_post and resources called crow://memories/{id} and prompts called catch_up" in str(
        refusal.value
    )


async def test_on_a_server_below_another_without_auth_nothing_is_shown_over_http(home: Path) -> None:
    server, root = theirs(), FastMCP("root")
    with mount(server, home):
        root.mount(server)
        async with asgi_server(root) as running, running.client() as client:
            assert (await client.call_tool("greet", {})).data == "hello"
            assert [tool.name for tool in await client.list_tools()] == ["greet"]
            assert [*await client.list_prompts(), *await client.list_resources()] == []
            assert await client.list_resource_templates() == []
            refusal = await client.call_tool("crow_store_memory", {"content": "by nobody"}, raise_on_error=False)
            assert refusal.is_error
        async with Client(root) as client:
            await client.call_tool("crow_store_memory", {"content": "by whoever runs it"})


async def test_a_server_without_auth_gets_ours(home: Path) -> None:
    server = theirs()
    with mount(server, home) as host:
        assert await refused(server, None) == 401
        assert await refused(server, "crow_wrong") == 401
        async with connected(server, await token_of(host)) as client:
            assert (await client.call_tool("greet", {})).data == "hello"


async def test_both_kinds_of_tokens_work_beside_each_other(home: Path) -> None:
    server = theirs(auth=StaticTokenVerifier({"their-secret": {"client_id": "them", "scopes": []}}))
    with mount(server, home) as host:
        assert await refused(server, "neither") == 401
        for token in ("their-secret", await token_of(host)):
            async with connected(server, token) as client:
                await client.call_tool("crow_store_memory", {"content": "let in"})


async def test_a_read_only_token_is_held_to_reading_on_their_server_too(home: Path) -> None:
    server = theirs(auth=StaticTokenVerifier({"their-secret": {"client_id": "them", "scopes": []}}))
    with mount(server, home) as host:
        async with connected(server, await token_of(host, "read")) as client:
            names = {tool.name for tool in await client.list_tools()}
            assert "crow_search_memories" in names
            assert "crow_store_memory" not in names


async def test_http_without_any_auth_is_refused(home: Path) -> None:
    server = theirs()
    with mount(server, home, authenticate=False):
        with pytest.raises(AuthenticationMissing, match="give it an auth"):
            server.http_app()
        with pytest.raises(AuthenticationMissing):
            await server.run_http_async(show_banner=False)
        async with Client(server) as client:
            assert (await client.call_tool("greet", {})).data == "hello"


async def test_two_homes_are_mounted_in_one_process(make_home: Callable[[str], Path]) -> None:
    one, other = theirs(), theirs()
    with mount(one, make_home("grackle")), mount(other, make_home("swan")):
        async with Client(one) as first, Client(other) as second:
            await first.call_tool("crow_store_memory", {"content": "only in the first"})
            found = await second.call_tool("crow_search_memories", {"query": "first"})
            assert found.structured_content is not None
            assert found.structured_content["items"] == []

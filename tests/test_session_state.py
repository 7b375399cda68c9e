"""A server looks at no store before somebody has kept something; and then what was kept is there, as ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.transforms.visibility import get_visibility_rules
from key_value.aio.stores.memory import MemoryStore

from crow_plugins.session_state import STORE, load_when_kept
from tests.gateway_process import running_gateway

pytestmark = pytest.mark.anyio

NOT_YET = {"beartype", "key_value", "jinja2", "markdown_it", "nh3", "vobject", "citeproc", "bibtexparser"}


async def test_a_gateway_that_answered_a_call_imported_nothing_that_it_needs_for_other_things_only(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with running_gateway(home) as gateway:
        async with Client(StreamableHttpTransport(gateway.mcp, auth=gateway.token)) as client:
            found = await client.call_tool("crow_search_memories", {"query": "telescope mount"})
    assert found.structured_content is not None
    said = capfd.readouterr().err
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", said, re.MULTILINE))
    assert "crow_plugins.server" in imported
    assert not NOT_YET & {name.split(".")[0] for name in imported}


async def test_what_a_client_chose_to_see_is_kept_and_may_be_taken_back() -> None:
    server = FastMCP("choosing")
    load_when_kept(server)
    found: list[int] = []

    @server.tool
    async def hide(context: Context) -> None:
        await context.disable_components(names={"shy"})
        found.append(len(await get_visibility_rules(context)))

    @server.tool
    async def show(context: Context) -> None:
        await context.reset_visibility()

    @server.tool
    def shy() -> None:
        """Hidden and shown again."""

    async with Client(server) as client:
        await client.call_tool("hide")
        assert {tool.name for tool in await client.list_tools()} == {"hide", "show"}
        await client.call_tool("show")
        assert {tool.name for tool in await client.list_tools()} == {"hide", "show", "shy"}
    assert found == [1]


async def test_a_store_that_a_server_was_given_stays() -> None:
    server = FastMCP("given", session_state_store=MemoryStore())
    load_when_kept(server)
    assert getattr(server, STORE) is None
    assert server._state_storage is not None

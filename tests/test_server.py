"""What one call costs: the root runs the tool itself, unless the part whose it is has more to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from fastmcp import Client, FastMCP
from fastmcp.server.middleware.timing import TimingMiddleware
from fastmcp.server.providers import FastMCPProvider, Provider
from fastmcp.server.transforms import GetToolNext, Transform
from fastmcp.tools.base import Tool
from fastmcp.utilities.versions import VersionSpec

from crow_plugins.host import Host
from crow_plugins.server import _adds_nothing

pytestmark = pytest.mark.anyio


class Lookups(Transform):
    """Notes the names that a part is asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def get_tool(self, name: str, call_next: GetToolNext, *, version: VersionSpec | None = None) -> Tool | None:
        self.names.add(name)
        return await call_next(name, version=version)


async def test_a_call_asks_no_part_for_a_tool(host: Host) -> None:
    lookups: dict[Provider, Lookups] = {provider: Lookups() for provider in host.server.providers}
    for provider, noted in lookups.items():
        provider.add_transform(noted)
    async with Client(host.server) as client:
        found = await client.call_tool("crow_search_memories", {"query": "kettle"})
        assert found.structured_content is not None
    assert [each.names for each in lookups.values() if each.names] == []


@asynccontextmanager
async def opened(server: FastMCP) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("part", "passed_over"),
    [
        (lambda: FastMCP("plain", mask_error_details=True), True),
        (lambda: FastMCP("watches", middleware=[TimingMiddleware()]), False),
        (lambda: FastMCP("opens something", lifespan=opened), False),
        (lambda: FastMCP("renames", transforms=[Lookups()]), False),
        (lambda: FastMCP("has others", providers=[FastMCPProvider(FastMCP("other"))]), False),
        (lambda: FastMCP("takes no text for a number", strict_input_validation=True), False),
    ],
)
def test_only_a_part_that_adds_nothing_is_passed_over(part: Callable[[], FastMCP], passed_over: bool) -> None:
    assert _adds_nothing(part()) == passed_over


async def test_a_tool_that_came_later_is_found_all_the_same(host: Host) -> None:
    @host.server.tool
    def kettle() -> str:
        return "whistles"

    async with Client(host.server) as client:
        assert (await client.call_tool("kettle", {})).data == "whistles"

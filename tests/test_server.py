"""What one call costs: it asks the part whose tool it is, and no other."""

from __future__ import annotations

import pytest
from fastmcp import Client
from fastmcp.server.providers import Provider
from fastmcp.server.transforms import GetToolNext, Transform
from fastmcp.tools.base import Tool
from fastmcp.utilities.versions import VersionSpec

from crow_plugins.host import Host

pytestmark = pytest.mark.anyio


class Lookups(Transform):
    """Notes the names that a part is asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def get_tool(self, name: str, call_next: GetToolNext, *, version: VersionSpec | None = None) -> Tool | None:
        self.names.add(name)
        return await call_next(name, version=version)


async def test_a_call_asks_no_part_for_the_tool_of_another(host: Host) -> None:
    lookups: dict[Provider, Lookups] = {provider: Lookups() for provider in host.server.providers}
    for provider, noted in lookups.items():
        provider.add_transform(noted)
    async with Client(host.server) as client:
        found = await client.call_tool("crow_search_memories", {"query": "kettle"})
        assert found.structured_content is not None
    assert [each.names for each in lookups.values() if each.names] == [{"crow_search_memories"}]


async def test_a_tool_that_came_later_is_found_all_the_same(host: Host) -> None:
    @host.server.tool
    def kettle() -> str:
        return "whistles"

    async with Client(host.server) as client:
        assert (await client.call_tool("kettle", {})).data == "whistles"

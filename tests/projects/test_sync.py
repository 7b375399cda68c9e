"""Projects, sources and notes on two gateways, through their tools over HTTP and nothing else: every change travels.

What is written while the two are apart meets later: edits of one row as a conflict that a tool settles on both, a
source before its project and a note after it as references that say so, and heal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

from crow_plugins import bearer
from tests.replicator.gateways import WAIT_SECONDS, Instance, acquainted, make_home, open_instance, serving

pytestmark = pytest.mark.anyio
SEED = b"\7" * 32
Row = dict[str, Any]


@dataclass
class Machine:
    """A gateway and an assistant of it."""

    instance: Instance
    assistant: Client[Any]

    async def call(self, tool: str, **arguments: object) -> Row:
        result = await self.assistant.call_tool(tool, arguments)
        assert result.structured_content is not None
        return result.structured_content

    async def sees(self, tool: str, row_id: str, **fields: object) -> Row:
        """Wait until a tool shows a row with these fields."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    row = await self.call(tool, id=row_id)
                except ToolError as error:
                    assert str(error).startswith("not_found")  # noqa: PT017  # it is waited on, nothing is asserted by it
                else:
                    if all(row[name] == value for name, value in fields.items()):
                        return row
                await asyncio.sleep(0.02)

    async def misses(self, tool: str, row_id: str) -> None:
        """Wait until a tool says that a row is not there."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.call(tool, id=row_id)
                except ToolError as error:
                    assert str(error).startswith("not_found")  # noqa: PT017
                    return
                await asyncio.sleep(0.02)

    async def conflicts(self, count: int) -> list[Row]:
        """Wait until there are this many open conflicts."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                items = (await self.call("crow_list_conflicts"))["items"]
                if len(items) == count:
                    return list(items)
                await asyncio.sleep(0.02)


def assistant_token(instance: Instance) -> str:
    with instance.host.transaction() as transaction:
        return bearer.create(transaction.db, "test", bearer.SCOPES, now=transaction.now)[0]


@asynccontextmanager
async def machine(folder: Path, name: str) -> AsyncIterator[Machine]:
    instance = open_instance(make_home(folder, name, SEED))
    try:
        async with serving(instance):
            token = await asyncio.to_thread(assistant_token, instance)
            transport = StreamableHttpTransport(instance.url + "/mcp", auth=token)
            async with Client(transport) as assistant:
                yield Machine(instance, assistant)
    finally:
        await asyncio.to_thread(instance.host.close)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    async with AsyncExitStack() as stack:
        grackle = await stack.enter_async_context(machine(tmp_path, "grackle"))
        swan = await stack.enter_async_context(machine(tmp_path, "swan"))
        await acquainted(grackle.instance, swan.instance)
        yield grackle, swan


async def apart(*machines: Machine) -> None:
    for each in machines:
        await each.instance.apart()


async def together(*machines: Machine) -> None:
    for each in machines:
        await each.instance.together()


def change_types(instance: Instance) -> set[str]:
    """Of every entry in the feeds that are held."""
    with instance.host.read() as db:
        return {json.loads(value)["type"] for (value,) in db.execute_sql("SELECT value FROM feed_blocks").fetchall()}


async def test_every_change_type_travels_there_and_back(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    project = await grackle.call("crow_create_project", name="Corvids", tags=["birds"])
    source = await swan.call("crow_add_source", title="Minds", authors=["Müller, Anna"], project_id=project["id"])
    note = await grackle.call("crow_add_note", content="clever", project_id=project["id"], source_id=source["id"])
    assert await swan.sees("crow_get_project", project["id"], name="Corvids", notes=1) == {
        **project,
        "sources": 1,
        "notes": 1,
    }
    there = await grackle.sees("crow_get_source", source["id"], authors=["Müller, Anna"])
    assert there["project"] == {"id": project["id"], "state": "here", "title": "Corvids"}
    there = await swan.sees("crow_get_note", note["id"], content="clever")
    assert there["source"] == {"id": source["id"], "state": "here", "title": "Minds"}
    assert there["origin_instance"] == grackle.instance.host.instance.id

    await swan.call("crow_update_project", id=project["id"], status="paused")
    await grackle.call("crow_update_source", id=source["id"], date="2024")
    await swan.call("crow_update_note", id=note["id"], kind="idea")
    await grackle.sees("crow_get_project", project["id"], status="paused")
    await swan.sees("crow_get_source", source["id"], date="2024")
    await grackle.sees("crow_get_note", note["id"], kind="idea")

    await grackle.call("crow_delete_project", id=project["id"])
    await swan.call("crow_delete_source", id=source["id"])
    await swan.misses("crow_get_project", project["id"])
    await grackle.misses("crow_get_source", source["id"])
    there = await grackle.sees("crow_get_note", note["id"])
    assert [there["project"]["state"], there["source"]["state"]] == ["deleted", "deleted"]
    await grackle.call("crow_delete_note", id=note["id"])
    await swan.misses("crow_get_note", note["id"])

    expected = {
        *("project_update", "project_delete", "source_insert", "source_update", "source_delete"),
        *("note_insert", "note_update", "note_delete"),
    }
    for each in pair:
        assert await asyncio.to_thread(change_types, each.instance) == expected


async def test_edits_on_both_sides_are_conflicts_that_a_tool_settles_on_both(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    source = (await grackle.call("crow_add_source", title="Minds"))["id"]
    note = (await grackle.call("crow_add_note", content="clever"))["id"]
    await swan.sees("crow_get_note", note)
    await apart(*pair)
    for one, word in ((grackle, "here"), (swan, "there")):
        await one.call("crow_update_project", id=project, name=word)
        await one.call("crow_update_source", id=source, title=word)
        await one.call("crow_update_note", id=note, content=word)
    await together(*pair)
    open_here, open_there = await grackle.conflicts(3), await swan.conflicts(3)
    assert {each["id"]: each["table"] for each in open_here} == {each["id"]: each["table"] for each in open_there}
    merged = {"projects": ("name", "both"), "sources": ("title", "both"), "notes": ("content", "both")}
    for conflict in open_there:
        field, value = merged[conflict["table"]]
        await swan.call(
            "crow_resolve_conflict", conflict_id=conflict["id"], resolution="merge", merged_data={field: value}
        )
    await grackle.conflicts(0)
    for tool, row_id, field in (
        ("crow_get_project", project, "name"),
        ("crow_get_source", source, "title"),
        ("crow_get_note", note, "content"),
    ):
        for each in pair:
            await each.sees(tool, row_id, **{field: "both"})


async def test_a_source_that_comes_before_its_project_is_kept_and_leads_there_once_it_arrives(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    await apart(*pair)
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    source = await swan.call("crow_add_source", title="Minds", project_id=project)
    assert source["project"] == {"id": project, "state": "not_here", "title": None}
    assert (await swan.call("crow_search_sources", project_id=project))["total"] == 1
    await together(*pair)
    for each in pair:
        await each.sees("crow_get_source", source["id"], project={"id": project, "state": "here", "title": "Corvids"})
        await each.sees("crow_get_project", project, sources=1)


async def test_a_note_of_a_project_that_was_deleted_elsewhere_is_kept_and_says_so(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    await swan.sees("crow_get_project", project)
    await apart(*pair)
    await grackle.call("crow_delete_project", id=project)
    note = (await swan.call("crow_add_note", content="clever", project_id=project))["id"]
    await together(*pair)
    for each in pair:
        await each.sees("crow_get_note", note, project={"id": project, "state": "deleted", "title": None})
    with pytest.raises(ToolError, match=r"^not_found"):
        await swan.call("crow_update_project", id=project, name="Ravens")


async def test_a_project_deleted_here_and_changed_there_stays_until_somebody_chooses(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    note = (await grackle.call("crow_add_note", content="clever", project_id=project))["id"]
    await swan.sees("crow_get_note", note)
    await apart(*pair)
    await grackle.call("crow_delete_project", id=project)
    assert (await grackle.call("crow_get_note", id=note))["project"]["state"] == "deleted"
    await swan.call("crow_update_project", id=project, name="Ravens")
    await together(*pair)
    healed = {"id": project, "state": "here", "title": "Ravens"}
    for each in pair:
        await each.sees("crow_get_note", note, project=healed)
    [conflict] = await swan.conflicts(1)
    await swan.call("crow_resolve_conflict", conflict_id=conflict["id"], resolution="local")
    for each in pair:
        await each.conflicts(0)
        await each.sees("crow_get_project", project, name="Ravens", notes=1)

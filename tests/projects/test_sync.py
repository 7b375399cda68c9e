"""Projects, sources and notes on two gateways, through their tools over HTTP and nothing else: every change travels.

What is written while the two are apart meets later: edits of one row as a conflict that a tool settles on both, a
source before its project and a note after it as references that say so, and heal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastmcp.exceptions import ToolError

from tests.replicator.assistants import Answer, Machine, apart, two_machines

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    async with two_machines(tmp_path) as machines:
        yield machines


async def seen(machine: Machine, tool: str, row_id: str, **fields: object) -> Answer:
    """What a tool shows of a row, once it has these fields."""
    return await machine.sees(tool, lambda row: all(row[name] == value for name, value in fields.items()), id=row_id)


async def test_every_change_type_travels_there_and_back(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    project = await grackle.call("crow_create_project", name="Corvids", tags=["birds"])
    source = await swan.call("crow_add_source", title="Minds", authors=["Müller, Anna"], project_id=project["id"])
    note = await grackle.call("crow_add_note", content="clever", project_id=project["id"], source_id=source["id"])
    assert await seen(swan, "crow_get_project", project["id"], name="Corvids", notes=1) == {
        **project,
        "sources": 1,
        "notes": 1,
    }
    there = await seen(grackle, "crow_get_source", source["id"], authors=["Müller, Anna"])
    assert there["project"] == {"id": project["id"], "state": "here", "title": "Corvids"}
    there = await seen(swan, "crow_get_note", note["id"], content="clever")
    assert there["source"] == {"id": source["id"], "state": "here", "title": "Minds"}
    assert there["origin_instance"] == grackle.instance.host.instance.id

    await swan.call("crow_update_project", id=project["id"], status="paused")
    await grackle.call("crow_update_source", id=source["id"], date="2024")
    await swan.call("crow_update_note", id=note["id"], kind="idea")
    await seen(grackle, "crow_get_project", project["id"], status="paused")
    await seen(swan, "crow_get_source", source["id"], date="2024")
    await seen(grackle, "crow_get_note", note["id"], kind="idea")

    await grackle.call("crow_delete_project", id=project["id"])
    await swan.call("crow_delete_source", id=source["id"])
    await swan.misses("crow_get_project", id=project["id"])
    await grackle.misses("crow_get_source", id=source["id"])
    there = await seen(grackle, "crow_get_note", note["id"])
    assert [there["project"]["state"], there["source"]["state"]] == ["deleted", "deleted"]
    await grackle.call("crow_delete_note", id=note["id"])
    await swan.misses("crow_get_note", id=note["id"])

    expected = {
        *("project_update", "project_delete", "source_insert", "source_update", "source_delete"),
        *("note_insert", "note_update", "note_delete"),
    }
    for each in pair:
        assert await each.types() == expected


async def test_edits_on_both_sides_are_conflicts_that_a_tool_settles_on_both(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    source = (await grackle.call("crow_add_source", title="Minds"))["id"]
    note = (await grackle.call("crow_add_note", content="clever"))["id"]
    await seen(swan, "crow_get_note", note)
    async with apart(*pair):
        for one, word in ((grackle, "here"), (swan, "there")):
            await one.call("crow_update_project", id=project, name=word)
            await one.call("crow_update_source", id=source, title=word)
            await one.call("crow_update_note", id=note, content=word)
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
            await seen(each, tool, row_id, **{field: "both"})


async def test_a_source_that_comes_before_its_project_is_kept_and_leads_there_once_it_arrives(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    async with apart(*pair):
        project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
        source = await swan.call("crow_add_source", title="Minds", project_id=project)
        assert source["project"] == {"id": project, "state": "not_here", "title": None}
        assert (await swan.call("crow_search_sources", project_id=project))["total"] == 1
    for each in pair:
        await seen(each, "crow_get_source", source["id"], project={"id": project, "state": "here", "title": "Corvids"})
        await seen(each, "crow_get_project", project, sources=1)


async def test_a_note_of_a_project_that_was_deleted_elsewhere_is_kept_and_says_so(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    await seen(swan, "crow_get_project", project)
    async with apart(*pair):
        await grackle.call("crow_delete_project", id=project)
        note = (await swan.call("crow_add_note", content="clever", project_id=project))["id"]
    for each in pair:
        await seen(each, "crow_get_note", note, project={"id": project, "state": "deleted", "title": None})
    with pytest.raises(ToolError, match=r"^not_found"):
        await swan.call("crow_update_project", id=project, name="Ravens")


async def test_a_project_deleted_here_and_changed_there_stays_until_somebody_chooses(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    project = (await grackle.call("crow_create_project", name="Corvids"))["id"]
    note = (await grackle.call("crow_add_note", content="clever", project_id=project))["id"]
    await seen(swan, "crow_get_note", note)
    async with apart(*pair):
        await grackle.call("crow_delete_project", id=project)
        assert (await grackle.call("crow_get_note", id=note))["project"]["state"] == "deleted"
        await swan.call("crow_update_project", id=project, name="Ravens")
    healed = {"id": project, "state": "here", "title": "Ravens"}
    for each in pair:
        await seen(each, "crow_get_note", note, project=healed)
    [conflict] = await swan.conflicts(1)
    await swan.call("crow_resolve_conflict", conflict_id=conflict["id"], resolution="local")
    for each in pair:
        await each.conflicts(0)
        await seen(each, "crow_get_project", project, name="Ravens", notes=1)

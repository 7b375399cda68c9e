"""Settings on two gateways, through their tools over HTTP: shared ones travel, local ones leave no trace anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crow_plugins.store.synced import row_id_of
from tests.replicator.assistants import Machine, apart, two_machines

pytestmark = pytest.mark.anyio
SECRET = "only-in-the-attic"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    async with two_machines(tmp_path) as machines:
        yield machines


def bytes_of(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.glob("crow.db*"))


async def test_a_shared_setting_lives_its_life_on_both_machines(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    written = await grackle.call("crow_set_setting", key="editor.theme", value={"name": "dark"})
    there = await swan.sees("crow_get_setting", lambda setting: True, key="editor.theme")
    assert there == written
    changed = await swan.call("crow_set_setting", key="editor.theme", value={"name": "light"})
    here = await grackle.sees(
        "crow_get_setting", lambda setting: setting["value"]["name"] == "light", key="editor.theme"
    )
    assert here["origin_instance"] == changed["origin_instance"] == swan.instance.host.instance.id
    await grackle.call("crow_set_setting", key="editor.theme", value=None)
    await swan.misses("crow_get_setting", key="editor.theme")
    await swan.call("crow_set_setting", key="editor.theme", value="again")
    await grackle.sees("crow_get_setting", lambda setting: setting["value"] == "again", key="editor.theme")
    assert await grackle.types() == {"setting_update", "setting_delete"}


async def test_a_local_setting_is_in_no_feed_on_no_other_machine_and_in_no_export(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    await grackle.call("crow_set_setting", key="theme", value="shared")
    await grackle.call("crow_set_setting", key="theme", value=SECRET, scope="local")
    assert (await grackle.call("crow_get_setting", key="theme"))["value"] == SECRET
    await grackle.call("crow_set_setting", key="last", value=1)
    await swan.sees("crow_get_setting", lambda setting: True, key="last")
    assert (await swan.call("crow_get_setting", key="theme"))["value"] == "shared"
    assert SECRET.encode() not in await asyncio.to_thread(bytes_of, swan.instance.home)
    blocks = await grackle.blocks()
    assert len(blocks) == 2
    assert not any(SECRET.encode() in block for block in blocks)


async def test_a_key_set_on_two_machines_apart_is_one_row_and_one_conflict_that_a_tool_settles(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    async with apart(grackle, swan):
        await grackle.call("crow_set_setting", key="theme", value="dark")
        await swan.call("crow_set_setting", key="theme", value="light")
        await grackle.call("crow_set_setting", key="same", value=[1])
        await swan.call("crow_set_setting", key="same", value=[1])
    [here], [there] = await grackle.conflicts(1), await swan.conflicts(1)
    assert here["id"] == there["id"]
    assert here["row_id"] == row_id_of("theme")
    for machine in pair:
        assert (await machine.call("crow_list_settings"))["total"] == 2
    await swan.call(
        "crow_resolve_conflict", conflict_id=here["id"], resolution="merge", merged_data={"value": ["dusk"]}
    )
    await grackle.sees("crow_get_setting", lambda setting: setting["value"] == "dusk", key="theme")
    await grackle.conflicts(0)

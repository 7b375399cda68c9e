"""Two and three gateways: any may write, all hold the same, whoever meets whom and in whatever order."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from crow_hooks import Resolution
from crow_plugins.store.synced import row_id_of
from tests.plugins.directory import introduce
from tests.replicator.gateways import MANIFEST, Instance, acquainted, make_home, open_instance, serving, until

pytestmark = pytest.mark.anyio
SEED = b"\x15" * 32
LABELS = """
[[plugin]]
name = "labels"
module = "tests.plugins.labels"
enabled = true
requires = []
"""
NAMES = ("grackle", "swan", "heron")


@asynccontextmanager
async def gateways(folder: Path, *names: str, manifest: str = MANIFEST) -> AsyncIterator[list[Instance]]:
    """Gateways that serve and know nobody yet."""
    async with AsyncExitStack() as stack:
        made = []
        for name in names:
            home = make_home(folder, name, SEED)
            (home / "plugin_manifest.toml").write_text(manifest)
            instance = open_instance(home)
            stack.callback(instance.host.close)
            made.append(await stack.enter_async_context(serving(instance)))
        yield made


async def caught_up(*instances: Instance) -> None:
    """All are connected as they can be, and nothing is on its way."""
    for each in instances:
        await until(each.sync.is_caught_up)


def state(instance: Instance) -> list[tuple[object, ...]]:
    """The rows, all that is known of them, and the open conflicts: what must be equal on all."""
    with instance.host.read() as db:
        return [
            row
            for sql in (
                "SELECT id, content, category, lamport_ts FROM memories ORDER BY id",
                "SELECT table_name, row_id, vv, live, digest FROM row_versions ORDER BY 1, 2",
                "SELECT id, local_data, remote_data, op FROM sync_conflicts WHERE resolved = 0 ORDER BY id",
            )
            for row in db.execute_sql(sql).fetchall()
        ]


async def are_equal(*instances: Instance) -> None:
    await until(lambda: all(state(each) == state(instances[0]) for each in instances))


async def cut_off(*instances: Instance) -> None:
    for each in instances:
        await each.apart()


async def together(*instances: Instance) -> None:
    for each in instances:
        await each.together()


async def test_in_a_line_each_hears_of_what_the_farthest_wrote(tmp_path: Path) -> None:
    async with gateways(tmp_path, *NAMES) as [grackle, swan, heron]:
        await acquainted(grackle, swan, heron, reachable=False)
        await to_thread(introduce, grackle.host, swan.host, swan.url)
        await to_thread(introduce, swan.host, heron.host, heron.url)
        for each in (grackle, swan, heron):
            await each.remember(f"from {each.home.name}")
        for each in (grackle, swan, heron):
            await each.holds(*(f"from {name}" for name in NAMES))
        await until(lambda: grackle.sync.connected() == {swan.host.instance.id})
        await are_equal(grackle, swan, heron)


async def test_three_concurrent_edits_are_the_same_conflicts_everywhere_until_they_are_settled(tmp_path: Path) -> None:
    async with gateways(tmp_path, *NAMES) as chain:
        await acquainted(*chain)
        memory = await to_thread(chain[0].memories.store, {"content": "tea"})
        for each in chain:
            await each.holds("tea")
        await cut_off(*chain)
        for each in chain:
            await to_thread(each.memories.update, memory.id, {"content": f"{each.home.name}'s"})
        await together(*chain)
        await until(lambda: all(len(each.conflicts()) == 2 for each in chain))
        await are_equal(*chain)
        found = await to_thread(chain[0].conflicts)
        sides = {str(data["content"]) for each in found for data in (each.local, each.remote)}
        assert sides == {f"{name}'s" for name in NAMES}
        first = (await to_thread(chain[1].conflicts))[0]
        await to_thread(lambda: chain[1].settle(first.id, Resolution("local")))
        await until(lambda: all(len(each.conflicts()) == 1 for each in chain))
        await are_equal(*chain)
        [last] = await to_thread(chain[2].conflicts)
        await to_thread(lambda: chain[2].settle(last.id, Resolution("merge", {"content": "all three"})))
        for each in chain:
            await each.holds("all three")
        await until(lambda: not any(each.conflicts() for each in chain))
        await are_equal(*chain)


async def test_a_delete_beside_an_edit_shows_the_edit_and_says_so(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan)
        memory = await to_thread(grackle.memories.store, {"content": "tea"})
        await swan.holds("tea")
        await cut_off(grackle, swan)
        await to_thread(grackle.memories.delete, memory.id)
        await to_thread(swan.memories.update, memory.id, {"content": "coffee"})
        await together(grackle, swan)
        for each in (grackle, swan):
            await each.holds("coffee")
            await until(lambda each=each: len(each.conflicts()) == 1)  # type: ignore[misc]
        await are_equal(grackle, swan)
        [conflict] = await to_thread(grackle.conflicts)
        assert conflict.op == "delete"
        assert conflict.remote["content"] == "tea"
        await to_thread(lambda: grackle.settle(conflict.id, Resolution("remote")))
        for each in (grackle, swan):
            await each.holds()
        await until(lambda: not swan.conflicts())
        await are_equal(grackle, swan)


async def test_a_key_that_was_made_on_both_is_one_row_and_one_conflict(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan", manifest=MANIFEST + LABELS) as [grackle, swan]:
        await to_thread(label, grackle, "urgent", "red")
        await to_thread(label, swan, "urgent", "orange")
        await acquainted(grackle, swan)
        await until(lambda: len(grackle.conflicts()) == len(swan.conflicts()) == 1)
        await are_equal(grackle, swan)
        [conflict], [other] = await to_thread(grackle.conflicts), await to_thread(swan.conflicts)
        assert (conflict.id, conflict.row_id) == (other.id, row_id_of("urgent"))
        await to_thread(lambda: swan.settle(conflict.id, Resolution("merge", {"colour": "crimson"})))
        for each in (grackle, swan):
            await until(lambda each=each: labels(each) == [("urgent", "crimson")])  # type: ignore[misc]
            await until(lambda each=each: not each.conflicts())  # type: ignore[misc]


async def test_what_a_plugin_that_is_missing_wrote_is_passed_on_and_applied_when_it_comes(tmp_path: Path) -> None:
    """The change types of a third party, from a machine that has its plugin over one that has not to one that has."""
    async with gateways(tmp_path, "grackle", "heron", manifest=MANIFEST + LABELS) as [grackle, heron]:
        swan = open_instance(make_home(tmp_path, "swan", SEED))
        async with serving(swan):
            await acquainted(grackle, swan, heron, reachable=False)
            await to_thread(introduce, grackle.host, swan.host, swan.url)
            await to_thread(introduce, heron.host, swan.host, swan.url)
            await to_thread(label, grackle, "urgent", "red")
            await grackle.remember("beside it")
            await until(lambda: labels(heron) == [("urgent", "red")])
            await swan.holds("beside it")
            [trouble] = await to_thread(swan.sync.troubles)
            assert (trouble.kind, trouble.reason, trouble.seq) == ("parked", "unknown_table", 0)
            assert trouble.detail is not None
            assert "install the one that is missing here" in trouble.detail
        await to_thread(swan.host.close)
        (swan.home / "plugin_manifest.toml").write_text(MANIFEST + LABELS)
        again = open_instance(swan.home)
        try:
            async with serving(again):
                await acquainted(again, grackle, heron, reachable=False)
                await until(lambda: labels(again) == [("urgent", "red")])
                assert await to_thread(again.sync.troubles) == []
                with_origin = await to_thread(lambda: rows(again, "SELECT came_from FROM labels"))
                assert with_origin == [(grackle.host.instance.id,)]
        finally:
            await to_thread(again.host.close)


def label(instance: Instance, key: str, colour: str) -> None:
    with instance.host.transaction() as transaction:
        transaction.db.execute_sql(
            "INSERT INTO labels (id, key, colour) VALUES (?, ?, ?)", (row_id_of(key), key, colour)
        )
        transaction.record("label_insert", "labels", row_id_of(key))


def labels(instance: Instance) -> list[tuple[object, ...]]:
    return rows(instance, "SELECT key, colour FROM labels ORDER BY key")


def rows(instance: Instance, sql: str) -> list[tuple[object, ...]]:
    with instance.host.read() as db:
        return list(db.execute_sql(sql).fetchall())

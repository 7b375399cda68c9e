"""Machines that were away, or went back: they catch up and say how far they are, and nobody loses anything."""

from __future__ import annotations

from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.host import Host
from crow_plugins.replicator import sync
from crow_plugins.replicator.feed_storage import DatabaseStorage, find_feed
from crow_plugins.replicator.seal import SealFile
from crow_plugins.replicator.tools import status_text, sync_answer
from crow_plugins.store import Machine, this_machine
from crow_plugins.store.backup import back_up, restore
from tests.plugins.directory import introduce
from tests.replicator.gateways import MANIFEST, Instance, acquainted, make_home, open_instance, serving, until
from tests.replicator.test_chains import SEED, are_equal, cut_off, gateways, rows, together

pytestmark = pytest.mark.anyio
WRITES = 10_000
FIELD_MERGE = """
[[plugin]]
name = "field_merge"
module = "crow_plugins.field_merge"
enabled = true
requires = ["replicator"]
"""


def fill(instance: Instance, count: int) -> None:
    host, at_once = instance.host, 1000
    for start in range(0, count, at_once):
        with host.transaction() as transaction:
            for number in range(start, start + at_once):
                row_id = f"{number:08d}-0000-4000-8000-000000000000"
                transaction.db.execute_sql(
                    "INSERT INTO memories (id, content, category, importance, tags, origin_instance, created_at, "
                    "updated_at) VALUES (?, ?, 'general', 5, '[]', ?, 1, 1)",
                    (row_id, f"memory {number}", host.instance.id),
                )
                transaction.record("memory_insert", "memories", row_id)


async def test_a_satellite_that_was_off_for_ten_thousand_writes_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "TEND_SECONDS", 0.02)
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await to_thread(fill, grackle, WRITES)
        beside = open_instance(swan.home)  # as another process of the same home sees it
        try:
            await to_thread(introduce, beside.host, grackle.host, None)
            await acquainted(grackle, swan)
            await until(lambda: status(beside)["rate"] is not None)
            behind = await to_thread(status, beside)
            if behind["rate"] is not None:  # it may be done by now
                assert 0 < behind["behind"] <= WRITES == behind["length"]
                assert behind["seconds_left"] == pytest.approx(behind["behind"] / behind["rate"])
            await until(lambda: status(beside)["applied"] == WRITES)
            await until(lambda: status(beside)["rate"] is None)
            await swan.remember("and back")
            await until(lambda: status(beside)["confirmed"] == 1 and status(beside)["lag_seconds"] is not None)
            assert await to_thread(lambda: len(swan.contents())) == WRITES + 1
        finally:
            await to_thread(beside.host.close)


def status(instance: Instance) -> dict[str, Any]:
    answer = sync_answer(instance.host.instance.id, instance.sync, instance.desk)
    feed = answer.feeds[1]
    if feed.rate is not None:
        assert " a second, about " in status_text(answer)
    return feed.model_dump()


async def test_a_backup_of_monday_put_back_on_friday_gets_the_week_from_the_peers(tmp_path: Path) -> None:
    week = ["tuesday", "wednesday", "thursday"]
    async with gateways(tmp_path, "swan", "heron") as [swan, heron]:
        grackle = open_instance(make_home(tmp_path, "grackle", SEED))
        async with serving(grackle):
            await acquainted(grackle, swan, heron)
            await grackle.remember("monday")
            await heron.holds("monday")
            await to_thread(back_up, grackle.home / "crow.db", tmp_path / "monday.db")
            await grackle.remember(*week)
            for each in (swan, heron):
                await each.holds("monday", *week)
        await to_thread(grackle.host.close)
        await to_thread(restore, grackle.home / "crow.db", tmp_path / "monday.db", tmp_path / "aside.db")
        again = open_instance(grackle.home)
        try:
            await acquainted(again, swan, heron)
            async with serving(again):
                await again.holds("monday", *week)
                await until(lambda: again.sync.suspect() is None)
                await again.remember("friday")
                for each in (again, swan, heron):
                    await each.holds("monday", *week, "friday")
                await are_equal(again, swan, heron)
        finally:
            await to_thread(again.host.close)


async def test_a_restore_that_nobody_saw_forks_the_feed_and_nothing_of_either_branch_is_lost(tmp_path: Path) -> None:
    """A whole machine was put back, its seal with it, and wrote before it met anybody."""
    async with gateways(tmp_path, "swan", "heron") as [swan, heron]:
        grackle = open_instance(make_home(tmp_path, "grackle", SEED))
        async with serving(grackle):
            await acquainted(grackle, swan, heron)
            await grackle.remember("monday")
            await heron.holds("monday")
            await to_thread(back_up, grackle.home / "crow.db", tmp_path / "monday.db")
            await grackle.remember("tuesday", "wednesday")
            for each in (swan, heron):
                await each.holds("monday", "tuesday", "wednesday")
        await to_thread(grackle.host.close)
        await to_thread(restore, grackle.home / "crow.db", tmp_path / "monday.db", tmp_path / "aside.db")
        again = Instance(grackle.home, Host(grackle.home, machine=an_hour_back))
        try:
            await to_thread(seal_as_it_is, again.host, again)
            await to_thread(again.sync._mending.begin)  # before serving, which heals at once who knows no peer
            assert await to_thread(again.sync.suspect) is None
            async with serving(again):
                assert await to_thread(again.sync.suspect) is None
                await again.remember("friday", "saturday", "sunday")
                await acquainted(again, swan, heron)
                everything = ["monday", "tuesday", "wednesday", "friday", "saturday", "sunday"]
                for each in (again, swan, heron):
                    await each.holds(*everything)
                await until(lambda: again.sync.suspect() is None)
                await again.remember("and on")
                for each in (again, swan, heron):
                    await each.holds(*everything, "and on")
                    assert await to_thread(each.conflicts) == []
                    frozen = await to_thread(rows, each, "SELECT frozen FROM feeds WHERE frozen IS NOT NULL")
                    assert frozen == []
        finally:
            await to_thread(again.host.close)


def an_hour_back() -> Machine:
    """A machine that was put back shows in its clocks, and that gives what it writes another writer's name."""
    here = this_machine()
    return Machine(here.boot_id, here.clock_offset + 3600.0)


def seal_as_it_is(host: Host, instance: Instance) -> None:
    """What the machine looks like that was put back with all its files."""
    with host.read() as db:
        number = find_feed(db, instance.sync.own.key)
        assert number is not None
        head = DatabaseStorage(db, number).head()
        [store_id] = db.execute_sql("SELECT store_id FROM clock").fetchone()
    seal, boot_id = SealFile(instance.home), this_machine().boot_id
    seal.write(store_id, head, boot_id)
    seal.write_for_now(store_id, head, boot_id)  # else the one that was told last would still be there


async def test_different_fields_are_merged_once_and_one_field_is_left_to_the_person(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan", manifest=MANIFEST + FIELD_MERGE) as [grackle, swan]:
        await acquainted(grackle, swan)
        apart = await to_thread(grackle.memories.store, {"content": "tea"})
        same = await to_thread(grackle.memories.store, {"content": "salt"})
        await swan.holds("salt", "tea")
        await cut_off(grackle, swan)
        await to_thread(grackle.memories.update, apart.id, {"content": "coffee"})
        await to_thread(swan.memories.update, apart.id, {"category": "breakfast"})
        await to_thread(grackle.memories.update, same.id, {"content": "pepper"})
        await to_thread(swan.memories.update, same.id, {"content": "sugar"})
        await together(grackle, swan)
        for each in (grackle, swan):
            await until(lambda each=each: ("coffee", "breakfast") in merged(each))  # type: ignore[misc]
            await until(lambda each=each: [one.row_id for one in each.conflicts()] == [same.id])  # type: ignore[misc]
        await are_equal(grackle, swan)
        await until(lambda: grackle.sync.is_caught_up() and swan.sync.is_caught_up())
        written = await to_thread(own_length, grackle) + await to_thread(own_length, swan)
        assert written == 7  # two rows, two edits on either side, and one merge


def merged(instance: Instance) -> list[tuple[object, ...]]:
    return rows(instance, "SELECT content, category FROM memories")


def own_length(instance: Instance) -> int:
    with instance.host.read() as db:
        feed = instance.sync.own.held(db)
        assert feed is not None
        return feed.head.length

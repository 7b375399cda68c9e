"""What waits for time alone is looked at again on a machine on which nothing happens."""

from __future__ import annotations

import json
import logging
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from crow_plugins.replicator import branches, sync, uptake
from crow_plugins.replicator.entry import read
from crow_plugins.replicator.feed_storage import find_feed
from crow_plugins.replicator.sync import InstanceSyncManager
from tests.plugins.directory import introduce
from tests.plugins.settler import FAILS
from tests.replicator.gateways import MANIFEST, Instance, acquainted, make_home, open_instance, until
from tests.replicator.test_bad_peers import entry, take_head
from tests.replicator.test_chains import SEED, are_equal, cut_off, gateways, rows, together

pytestmark = pytest.mark.anyio
TICKS = 40  # in which nothing happens
SETTLER = """
[[plugin]]
name = "settler"
module = "tests.plugins.settler"
enabled = true
requires = ["replicator"]
"""


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ticks since anybody had anything to apply."""
    ticks: list[str] = []
    apply, is_to_tend = InstanceSyncManager._apply, InstanceSyncManager._is_to_tend

    def applied(self: InstanceSyncManager) -> None:
        apply(self)
        ticks.clear()

    def looked(self: InstanceSyncManager) -> bool:
        ticks.append("tick")
        return is_to_tend(self)

    monkeypatch.setattr(InstanceSyncManager, "_apply", applied)
    monkeypatch.setattr(InstanceSyncManager, "_is_to_tend", looked)
    monkeypatch.setattr(sync, "TEND_SECONDS", 0.02)
    return ticks


def some_minutes_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uptake, "PARKED_SECONDS", 0.0)
    patch.setattr(sync, "CONTACT_SECONDS", 0.0)


@pytest.fixture
def failing() -> Iterator[None]:
    FAILS.set()
    yield
    FAILS.clear()


def keep_orphan(instance: Instance, of: Instance, block: bytes) -> None:
    with instance.host.transaction() as transaction:
        number = find_feed(transaction.db, of.sync.own.key)
        assert number is not None
        branches._keep(transaction.db, number, read(block), transaction.now)


async def test_what_was_given_up_is_rescued_when_it_has_waited_long_enough_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: list[str]
) -> None:
    """The head of the new branch is there, and its block is nowhere."""
    grackle = open_instance(make_home(tmp_path, "grackle", SEED))
    try:
        await grackle.remember("lost")
        async with gateways(tmp_path, "heron") as [heron]:
            await to_thread(introduce, heron.host, grackle.host, None)
            await to_thread(take_head, heron, grackle)
            await to_thread(keep_orphan, heron, grackle, json.dumps(entry(grackle, 7)).encode())
            await until(lambda: len(quiet) > TICKS)
            monkeypatch.setattr(branches, "PATIENCE_SECONDS", 0)
            assert await to_thread(heron.contents) == []
            some_minutes_pass(monkeypatch)
            await heron.holds("x")
            assert await to_thread(rows, heron, "SELECT * FROM orphans") == []
    finally:
        await to_thread(grackle.host.close)


async def test_blocks_that_nobody_has_are_no_reason_to_look_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    is_to_tend = InstanceSyncManager._is_to_tend

    def looked(self: InstanceSyncManager) -> bool:
        looks.append(is_to_tend(self))
        return looks[-1]

    monkeypatch.setattr(InstanceSyncManager, "_is_to_tend", looked)
    monkeypatch.setattr(sync, "TEND_SECONDS", 0.02)
    grackle = open_instance(make_home(tmp_path, "grackle", SEED))
    try:
        await grackle.remember("lost")
        async with gateways(tmp_path, "heron") as [heron]:
            await to_thread(introduce, heron.host, grackle.host, None)
            await to_thread(take_head, heron, grackle)
            looks.clear()
            await until(lambda: len(looks) > TICKS and not any(looks[-TICKS:]))
            assert not await to_thread(heron.sync.is_caught_up)
    finally:
        await to_thread(grackle.host.close)


@pytest.mark.usefixtures("failing")
async def test_a_policy_that_failed_is_asked_again_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, quiet: list[str]
) -> None:
    async with gateways(tmp_path, "grackle", "swan", manifest=MANIFEST + SETTLER) as [grackle, swan]:
        await acquainted(grackle, swan)
        memory = await to_thread(grackle.memories.store, {"content": "tea"})
        await swan.holds("tea")
        await cut_off(grackle, swan)
        await to_thread(grackle.memories.update, memory.id, {"content": "coffee"})
        await to_thread(swan.memories.update, memory.id, {"content": "milk"})
        with caplog.at_level(logging.ERROR):
            await together(grackle, swan)
            await until(lambda: len(grackle.conflicts()) == len(swan.conflicts()) == 1)
            await until(lambda: "conflict policy failed" in caplog.text)
        await until(lambda: len(quiet) > 2 * TICKS)
        FAILS.clear()
        assert len(await to_thread(grackle.conflicts)) == 1
        some_minutes_pass(monkeypatch)
        await until(lambda: grackle.conflicts() == swan.conflicts() == [])
        await are_equal(grackle, swan)

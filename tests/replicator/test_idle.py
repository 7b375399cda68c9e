"""Machines that have nothing to tell each other stay connected, and cost next to nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.wire import Command, KeepAlive
from crow_plugins.replicator import link as linking
from crow_plugins.replicator import sync
from crow_plugins.replicator.link import Link
from crow_plugins.replicator.sync import InstanceSyncManager
from crow_plugins.store.connections import Connections
from tests.replicator.gateways import Instance, acquainted, until
from tests.replicator.test_chains import gateways

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def two_in_sync(folder: Path) -> AsyncIterator[tuple[Instance, Instance]]:
    async with gateways(folder, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan)
        await grackle.remember("before the quiet")
        await swan.holds("before the quiet")
        yield grackle, swan


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[KeepAlive]:
    """The signs of life since the last time that any connection worked on its database."""
    signs: list[KeepAlive] = []
    work, say = InstanceSyncManager.work, Replication.say

    def noted_work(self: InstanceSyncManager, link: Link, *, grown: bool) -> list[FeedEvent]:
        signs.clear()
        return work(self, link, grown=grown)

    def noted_say(self: Replication, *commands: Command) -> None:
        signs.extend(each for each in commands if isinstance(each, KeepAlive))
        say(self, *commands)

    monkeypatch.setattr(InstanceSyncManager, "work", noted_work)
    monkeypatch.setattr(Replication, "say", noted_say)
    monkeypatch.setattr(linking, "KEEP_ALIVE_SECONDS", 0.02)
    return signs


async def test_a_sign_of_life_asks_no_database(tmp_path: Path, quiet: list[KeepAlive]) -> None:
    async with two_in_sync(tmp_path) as (grackle, swan):
        await until(lambda: len(quiet) > 40)
        await swan.remember("after it")
        await grackle.holds("after it", "before the quiet")


async def test_a_second_in_which_nothing_happens_wakes_no_thread_and_asks_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[bool] = []

    def quiet(is_to_tend: Callable[[InstanceSyncManager], bool]) -> Callable[[InstanceSyncManager], bool]:
        def looked(self: InstanceSyncManager) -> bool:
            ticks.append(is_to_tend(self))
            return ticks[-1]

        return looked

    def loud(work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any) -> Any:
            ticks.clear()
            return work(*arguments)

        return done

    async with two_in_sync(tmp_path) as (grackle, swan):
        with monkeypatch.context() as patch:
            patch.setattr(sync, "TEND_SECONDS", 0.02)
            patch.setattr(InstanceSyncManager, "_is_to_tend", quiet(InstanceSyncManager._is_to_tend))
            for place, name in ((InstanceSyncManager, "_tend"), (Connections, "read"), (Connections, "write")):
                patch.setattr(place, name, loud(getattr(place, name)))
            await until(lambda: len(ticks) > 80)  # of both, for longer than a second
            assert not any(ticks)
        await swan.remember("after it")
        await grackle.holds("after it", "before the quiet")

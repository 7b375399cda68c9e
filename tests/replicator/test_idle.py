"""Machines that have nothing to tell each other stay connected, and cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.wire import Command, KeepAlive
from crow_plugins.replicator import link as linking
from crow_plugins.replicator import sync
from crow_plugins.replicator.link import Link
from crow_plugins.replicator.sync import InstanceSyncManager
from crow_plugins.store.connections import Connections
from tests.replicator.gateways import acquainted, make_home, open_instance, serving, until

pytestmark = pytest.mark.anyio
SEED = b"\7" * 32


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
    async with AsyncExitStack() as stack:
        grackle, swan = (open_instance(make_home(tmp_path, name, SEED)) for name in ("grackle", "swan"))
        for instance in (grackle, swan):
            stack.callback(instance.host.close)
            await stack.enter_async_context(serving(instance))
        await acquainted(grackle, swan)
        await grackle.remember("before the quiet")
        await swan.holds("before the quiet")
        await until(lambda: len(quiet) > 40)
        await swan.remember("after it")
        await grackle.holds("after it", "before the quiet")


async def test_a_second_in_which_nothing_happens_asks_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[InstanceSyncManager] = []
    tend, read, write = InstanceSyncManager._tend, Connections.read, Connections.write

    def noted_tend(self: InstanceSyncManager) -> None:
        tend(self)
        ticks.append(self)

    def noted(access: Callable[[Connections], AbstractContextManager[Database]]) -> Callable[[Connections], Any]:
        def asked(self: Connections) -> AbstractContextManager[Database]:
            ticks.clear()
            return access(self)

        return asked

    async with AsyncExitStack() as stack:
        grackle, swan = (open_instance(make_home(tmp_path, name, SEED)) for name in ("grackle", "swan"))
        for instance in (grackle, swan):
            stack.callback(instance.host.close)
            await stack.enter_async_context(serving(instance))
        await acquainted(grackle, swan)
        await grackle.remember("before the quiet")
        await swan.holds("before the quiet")
        with monkeypatch.context() as patch:
            patch.setattr(sync, "TEND_SECONDS", 0.02)
            patch.setattr(InstanceSyncManager, "_tend", noted_tend)
            patch.setattr(Connections, "read", noted(read))
            patch.setattr(Connections, "write", noted(write))
            await until(lambda: len(ticks) > 80)  # of both, for longer than a second
        await swan.remember("after it")
        await grackle.holds("after it", "before the quiet")

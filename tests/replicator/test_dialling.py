"""When a gateway dials: not while it stops, soon where a link ended at once, and ever less often where all do."""

from __future__ import annotations

import asyncio
import time
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.replicator import dialling, link, transport
from crow_plugins.replicator.sync import InstanceSyncManager
from tests.plugins.directory import introduce
from tests.replicator.gateways import Instance, acquainted, make_home, open_instance, serving, until
from tests.replicator.test_bad_peers import by_hand
from tests.replicator.test_chains import SEED, gateways

pytestmark = pytest.mark.anyio
SOON_SECONDS = 20.0  # on a loaded machine, and far from the minute between two tries


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Whom anybody dialled, and when."""
    tries: list[tuple[str, float]] = []

    async def noted(url: Any, *rest: Any) -> transport.Dialled:
        tries.append((url.text, time.monotonic()))
        return await transport.dial(url, *rest)

    monkeypatch.setattr(dialling, "dial", noted)
    monkeypatch.setattr(dialling, "LOOK_SECONDS", 0.02)
    return tries


async def let_dial(one: Instance, other: Instance) -> None:
    """Tell where another one answers that is connected, and wait until that is known."""
    await to_thread(introduce, one.host, other.host, other.url)
    assert one.sync._dialler is not None
    turns = one.sync._dialler._turns
    await until(lambda: other.host.instance.id in turns and turns[other.host.instance.id]._peer_holds)


async def test_a_gateway_that_is_told_to_stop_dials_nobody_any_more(
    tmp_path: Path, dialled: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "LASTING_SECONDS", 0.0)  # every link that is lost is made again at once
    async with gateways(tmp_path, "grackle") as [grackle]:
        swan = open_instance(make_home(tmp_path, "swan", SEED))
        try:
            async with serving(swan):
                await acquainted(grackle, swan, reachable=False)
                await to_thread(introduce, grackle.host, swan.host, swan.url)
                await until(lambda: bool(swan.sync.connected() and grackle.sync.connected()))
                await let_dial(swan, grackle)
            await until(lambda: not grackle.sync.connected())
            assert grackle.url not in [url for url, _ in dialled]
        finally:
            await to_thread(swan.host.close)


async def test_where_a_link_of_the_peer_ended_at_once_it_is_dialled_soon(
    tmp_path: Path, dialled: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "LASTING_SECONDS", 3600.0)  # every link ends at once
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan, reachable=False)
        async with by_hand(swan, grackle):
            await let_dial(grackle, swan)
            assert dialled == []
        async with asyncio.timeout(SOON_SECONDS):
            await until(lambda: bool(dialled) and grackle.sync.connected() == {swan.host.instance.id})
        assert {url for url, _ in dialled} == {swan.url}


async def test_two_that_refuse_each_other_do_so_ever_less_often(
    tmp_path: Path, dialled: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is wakened by neither its own link that ended at once nor the other's."""
    monkeypatch.setattr(dialling, "FIRST_SECONDS", 0.02)
    tries = 6

    def fails(self: InstanceSyncManager, link: link.Link, *, grown: bool) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(InstanceSyncManager, "work", fails)
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan)
        for each in (grackle, swan):
            times = _times(dialled, each)
            await until(lambda times=times: len(times()) >= tries)  # type: ignore[misc]
            least = [0.75 * 0.02 * 2**number for number in range(1, tries)]
            apart = [later - before for before, later in zip(times(), times()[1:tries], strict=False)]
            assert all(seconds >= floor for seconds, floor in zip(apart, least, strict=True)), apart


def _times(dialled: list[tuple[str, float]], to: Instance) -> Callable[[], list[float]]:
    return lambda: [when for url, when in dialled if url == to.url]

"""Real gateways: what is written on one is on the others, live, later, through others, and after a restart."""

from __future__ import annotations

import math
from asyncio import to_thread
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import apsw
import pytest

from crow_hooks import Resolution
from crow_plugins.outbound.urls import DEFAULT_ZONES, parse
from crow_plugins.replicator import mending
from crow_plugins.replicator.conflicts import OpenSides
from crow_plugins.replicator.transport import dial
from crow_plugins.store.backup import back_up, restore
from tests.gateway_process import crow
from tests.plugins.directory import introduce
from tests.replicator.gateways import Instance, acquainted, make_home, open_instance, serving, until

pytestmark = pytest.mark.anyio
SEED = b"\7" * 32
REPLICATOR_ON = 'module = "crow_plugins.replicator"\nenabled = true'


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Instance]]:
    made: list[Instance] = []

    def open_new(name: str) -> Instance:
        home = tmp_path / name
        instance = open_instance(home if home.exists() else make_home(tmp_path, name, SEED))
        made.append(instance)
        return instance

    yield open_new
    for instance in made:
        instance.host.close()


def sides_beside_a_writer(instance: Instance, conflict_id: str) -> OpenSides | None:
    """What an open conflict is about, asked for while another process holds the right to write."""
    with closing(apsw.Connection(str(instance.home / "crow.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        sides = instance.desk.sides(conflict_id)
        other.execute("ROLLBACK")
    return sides


async def test_what_is_written_on_either_is_on_both(make: Callable[[str], Instance]) -> None:
    async with AsyncExitStack() as stack:
        grackle = await stack.enter_async_context(serving(make("grackle")))
        swan = await stack.enter_async_context(serving(make("swan")))
        await grackle.remember("before they met")
        await acquainted(grackle, swan)
        await swan.holds("before they met")
        await swan.remember("from swan")
        await grackle.remember("from grackle")
        await swan.holds("before they met", "from swan", "from grackle")
        await grackle.holds("before they met", "from swan", "from grackle")
        await until(lambda: grackle.sync.is_caught_up() and swan.sync.is_caught_up())


async def test_two_satellites_that_only_know_the_home_are_brought_together_by_it(
    make: Callable[[str], Instance],
) -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(serving(make("home")))
        one, two = make("one"), make("two")
        await acquainted(home, one, two, reachable=False)
        for satellite in (one, two):
            await to_thread(introduce, satellite.host, home.host, home.url)
            await stack.enter_async_context(satellite.host.serving())
        await one.remember("from one")
        await two.remember("from two")
        for each in (home, one, two):
            await each.holds("from one", "from two")


async def test_what_was_written_while_a_machine_was_off_comes_when_it_is_back(make: Callable[[str], Instance]) -> None:
    grackle, swan = make("grackle"), make("swan")
    await grackle.remember(*(f"memory {number:04}" for number in range(1200)))
    async with serving(grackle), serving(swan):
        await acquainted(grackle, swan)
        progress = await swan.sync.sync_now(None, 20)
        assert progress.complete
        await swan.holds(*(f"memory {number:04}" for number in range(1200)))
        [_, status] = await to_thread(swan.sync.status)
        assert (status.length, status.held, status.applied, status.parked) == (1200, 1200, 1200, 0)


async def test_a_conflict_of_two_machines_is_settled_once_for_both(make: Callable[[str], Instance]) -> None:
    async with AsyncExitStack() as stack:
        grackle = await stack.enter_async_context(serving(make("grackle")))
        swan = await stack.enter_async_context(serving(make("swan")))
        memory = await to_thread(grackle.memories.store, {"content": "tea"})
        await acquainted(grackle, swan)
        await swan.holds("tea")
        for each in (grackle, swan):
            await each.apart()
        await to_thread(grackle.memories.update, memory.id, {"content": "coffee"})
        await to_thread(swan.memories.update, memory.id, {"content": "milk"})
        for each in (grackle, swan):
            await each.together()
        await until(lambda: len(grackle.conflicts()) == len(swan.conflicts()) == 1)
        [conflict], [other] = await to_thread(grackle.conflicts), await to_thread(swan.conflicts)
        assert other.id == conflict.id
        sides = await to_thread(sides_beside_a_writer, grackle, conflict.id)
        assert sides is not None
        assert sides.base is not None
        assert {each["content"] for each in (sides.conflict.local, sides.conflict.remote)} == {"coffee", "milk"}
        assert (sides.base["content"], sides.deleted_by) == ("tea", None)
        await to_thread(lambda: grackle.settle(conflict.id, Resolution("merge", {"content": "coffee with milk"})))
        await swan.holds("coffee with milk")
        await until(lambda: swan.conflicts() == [])
        assert (await to_thread(swan.settled, conflict.id)).resolution is not None
        assert await to_thread(sides_beside_a_writer, swan, conflict.id) is None


async def test_a_database_put_back_takes_its_own_feed_from_the_peer_and_goes_on(
    make: Callable[[str], Instance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grackle, swan = make("grackle"), make("swan")
    async with serving(swan):
        async with serving(grackle):
            await acquainted(grackle, swan)
            await grackle.remember("before")
            await swan.holds("before")
            await to_thread(back_up, grackle.home / "crow.db", tmp_path / "saved.db")
            await grackle.remember("after")
            await swan.holds("before", "after")
        await to_thread(grackle.host.close)
        await to_thread(restore, grackle.home / "crow.db", tmp_path / "saved.db", tmp_path / "aside.db")
        again = make("grackle")
        assert await to_thread(again.contents) == ["before"]
        for waited in ("SETTLE_SECONDS", "GRACE_SECONDS"):  # until it was seen that it waits
            monkeypatch.setattr(mending, waited, math.inf)
        await acquainted(again, swan)
        async with serving(again):
            await again.remember("meanwhile")
            await again.holds("before", "after", "meanwhile")
            assert await to_thread(again.sync.suspect) is not None
            monkeypatch.undo()
            await until(lambda: again.sync.suspect() is None)
            await swan.holds("before", "after", "meanwhile")
            await again.remember("and on")
            await swan.holds("before", "after", "meanwhile", "and on")


async def test_a_machine_of_another_chain_is_not_let_in(make: Callable[[str], Instance], tmp_path: Path) -> None:
    grackle = make("grackle")
    stranger = open_instance(make_home(tmp_path, "stranger", b"\x08" * 32))
    await grackle.remember("secret")
    try:
        async with serving(grackle), serving(stranger):
            stream = await dial(parse(grackle.url), DEFAULT_ZONES)
            link = await stranger.sync.converse(stream, dialled=True)
            assert link.peer is None
            assert await to_thread(stranger.contents) == []
            assert grackle.sync.connected() == frozenset()
    finally:
        stranger.host.close()


async def test_what_is_written_by_a_process_beside_the_gateway_goes_out_too(make: Callable[[str], Instance]) -> None:
    grackle, swan = make("grackle"), make("swan")
    async with serving(grackle), serving(swan):
        await acquainted(grackle, swan)
        await until(lambda: bool(swan.sync.connected()))
        said = await to_thread(crow, grackle.home, "remember", "typed in a terminal")
        assert said.returncode == 0, said.stderr
        await swan.holds("typed in a terminal")


async def test_what_was_written_with_the_replicator_off_goes_out_when_it_is_on(make: Callable[[str], Instance]) -> None:
    grackle, swan = make("grackle"), make("swan")
    switch = (grackle.home / "plugin_manifest.toml").read_text()
    grackle.host.close()
    (grackle.home / "plugin_manifest.toml").write_text(
        switch.replace(REPLICATOR_ON, REPLICATOR_ON.replace("true", "false"))
    )
    off = make("grackle")
    await off.remember("while off", "and gone")
    await to_thread(off.forget, "and gone")
    off.host.close()
    (grackle.home / "plugin_manifest.toml").write_text(switch)
    on = make("grackle")
    async with serving(on), serving(swan):
        await acquainted(on, swan)
        await on.remember("while on")
        await swan.holds("while off", "while on")
        assert await to_thread(swan.deleted) == 1

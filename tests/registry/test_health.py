"""Probing: who answers is online, who misses three times is offline, and who hangs delays nobody."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crow_hooks import Credentials, Status
from crow_plugins.files import write_private
from crow_plugins.host import Host
from crow_plugins.registry.checks import checks
from crow_plugins.registry.health import MISSES_MAX, ROUNDS_WHILE_HEARD, Health
from tests.registry.listener import HEARD
from tests.registry.world import PATH, PROOF_PATH, Answering, Callee, House, Machine, Reply, answering, chain_home

pytestmark = pytest.mark.anyio


class World:
    """One instance, and the machines that it knows."""

    def __init__(self, house: House, stack: ExitStack) -> None:
        self.house, self._stack = house, stack
        self.health = Health(house.registry, house.registering)

    async def knows(self, machine: Machine, url: str | None, status: Status = "unknown") -> None:
        def keep() -> None:
            self.house.registry.announced(machine.certificate, machine.signed, url)
            self.house.registry.seen(machine.id, status)

        await asyncio.to_thread(keep)

    def live(self, machine: Machine) -> Answering:
        return self._stack.enter_context(answering(Callee(machine).scripts()))

    def hung(self, machine: Machine) -> str:
        there: list[Answering] = []

        def hang(body: bytes) -> Reply:
            there[0].stopping.wait(20)
            return 200, b"{}"

        there.append(self._stack.enter_context(answering({PATH: hang, "/health": hang})))
        return there[0].url

    async def status(self, name: str) -> Status:
        return (await asyncio.to_thread(self.house.known, name)).status


def dead() -> str:
    with socket.create_server(("127.0.0.1", 0)) as once:
        return f"http://127.0.0.1:{once.getsockname()[1]}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        host = stack.enter_context(Host(chain_home(tmp_path, "grackle")))
        yield World(House(host), stack)


async def test_the_dead_go_offline_after_three_misses_and_the_living_are_online(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crow_plugins.registry.probing.SECONDS", 0.5)
    swan, rook, owl = Machine("swan"), Machine("rook"), Machine("owl")
    await world.knows(swan, world.live(swan).url)
    await world.knows(rook, dead(), "online")
    await world.knows(owl, world.hung(owl), "online")
    for turn in range(1, MISSES_MAX + 1):
        began = time.monotonic()
        await world.health.probe_all()
        assert time.monotonic() - began < 3
        missed: Status = "offline" if turn == MISSES_MAX else "online"
        assert [await world.status(name) for name in ("swan", "rook", "owl")] == ["online", missed, missed]


async def test_contact_in_between_starts_the_count_again(world: World) -> None:
    rook = Machine("rook")
    await world.knows(rook, dead(), "online")
    for _ in range(MISSES_MAX - 1):
        await world.health.probe_all()
    swan = world.live(rook)
    await asyncio.to_thread(world.house.registry.update, rook.id, name=None, gateway_url=swan.url)
    await world.health.probe_all()
    await asyncio.to_thread(world.house.registry.update, rook.id, name=None, gateway_url=dead())
    for _ in range(MISSES_MAX - 1):
        await world.health.probe_all()
    assert await world.status("rook") == "online"
    await world.health.probe_all()
    assert await world.status("rook") == "offline"


async def test_another_machine_at_the_address_is_a_miss(world: World) -> None:
    swan = Machine("swan")
    await world.knows(swan, world.live(Machine("rook")).url, "online")
    for _ in range(MISSES_MAX):
        await world.health.probe_all()
    assert await world.status("swan") == "offline"


async def test_who_has_no_address_or_is_hidden_or_revoked_is_not_probed(world: World) -> None:
    machines = [Machine("swan"), Machine("rook"), Machine("owl")]
    there = [world.live(machine) for machine in machines]
    await world.knows(machines[0], None)
    await world.knows(machines[1], there[1].url)
    await world.knows(machines[2], there[2].url)
    await asyncio.to_thread(world.house.registry.hide, machines[1].id)
    await asyncio.to_thread(world.house.registry.learn, Credentials((), (machines[2].revoked(),)))
    await world.health.probe_all()
    assert [each.calls for each in there] == [[], [], []]


async def test_a_probe_shows_nothing_of_ours(world: World) -> None:
    swan = Machine("swan")
    there = world.live(swan)
    await world.knows(swan, there.url)
    await world.health.probe_all()
    assert [path for path, _ in there.calls] == [PATH]


async def test_our_address_is_told_once_and_not_to_whom_it_is_of_no_use(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "grackle", settings='gateway_url = "http://127.0.0.1:4001"')
    swan = Callee(Machine("swan"))
    with Host(home) as host, answering(swan.scripts()) as there, ExitStack() as stack:
        world = World(House(host), stack)
        await world.knows(swan.machine, there.url)
        await world.health.probe_all()
        await world.health.probe_all()
    assert [path for path, _ in there.calls] == ["/health", PATH, PROOF_PATH, PATH]
    assert [proved.gateway_url for proved in swan.heard] == ["http://127.0.0.1:4001"]


async def test_one_that_does_not_want_our_address_is_online_all_the_same(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "grackle", settings='gateway_url = "http://127.0.0.1:4001"')
    swan = Callee(Machine("swan"))
    scripts = {**swan.scripts(), PROOF_PATH: lambda _: (403, b"{}")}
    with Host(home) as host, answering(scripts) as there, ExitStack() as stack:
        world = World(House(host), stack)
        await world.knows(swan.machine, there.url)
        for _ in range(2):
            await world.health.probe_all()
        assert await world.status("swan") == "online"
    assert [path for path, _ in there.calls].count(PROOF_PATH) == 1


async def test_plugins_are_told_of_instances_and_of_their_states(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "grackle", module="tests.registry.listener")
    with Host(home) as host, ExitStack() as stack:
        world = World(House(host), stack)
        await world.house.registering.register(world.live(Machine("swan")).url)
        await world.knows(Machine("rook"), dead(), "online")
        for _ in range(MISSES_MAX + 1):
            await world.health.probe_all()
        assert host.services.find("tests", HEARD) == [
            ("swan", "registered"),
            ("rook", "registered"),
            ("rook", "offline"),
        ]


def test_the_doctor_names_who_is_offline_and_sees_a_mirror_that_is_wrong(world: World) -> None:
    registry, swan = world.house.registry, Machine("swan")
    registry.announced(swan.certificate, swan.signed, None)
    assert [check.run().ok for check in checks(registry)] == [True, True]
    registry.missed(swan.id)
    assert "swan" in checks(registry)[1].run().message
    mirror = world.house.host.home.folder / "instances.json"
    for content in (b"[]", b"no json"):
        write_private(mirror, content)
        assert not checks(registry)[0].run().ok
    registry.changed()
    assert checks(registry)[0].run().ok


async def test_contact_by_another_way_is_contact_too(tmp_path: Path) -> None:
    clock = [1_800_000_000.0]
    with Host(chain_home(tmp_path, "grackle"), now=lambda: clock[0]) as host, ExitStack() as stack:
        world, rook = World(House(host), stack), Machine("rook")
        await world.knows(rook, dead(), "online")
        for _ in range(MISSES_MAX - 1):
            await world.health.probe_all()
        clock[0] += 120
        await asyncio.to_thread(world.house.registry.seen, rook.id, "online")
        await world.health.probe_all()  # it was heard of since the last one
        for _ in range(MISSES_MAX - 1):
            await world.health.probe_all()
        assert await world.status("rook") == "online"
        await world.health.probe_all()
        assert await world.status("rook") == "offline"


async def test_who_is_heard_of_all_the_while_is_probed_every_fifth_time_and_at_once_when_that_ends(
    world: World,
) -> None:
    swan, rook = Machine("swan"), Machine("rook")
    heard_of, silent = world.live(swan), world.live(rook)
    await world.knows(swan, heard_of.url, "online")
    await world.knows(rook, silent.url, "online")
    for _ in range(ROUNDS_WHILE_HEARD + 1):
        await world.health.probe_all()
        await asyncio.to_thread(world.house.registry.seen, swan.id, "online")
    assert (len(heard_of.calls), len(silent.calls)) == (2, ROUNDS_WHILE_HEARD + 1)
    for _ in range(2):
        await world.health.probe_all()
    assert len(heard_of.calls) == 3


async def test_our_address_and_certificate_are_not_shown_to_another_machine_at_a_known_address(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "grackle", settings='gateway_url = "http://127.0.0.1:4001"')
    rook = Callee(Machine("rook"))
    with Host(home) as host, answering(rook.scripts()) as there, ExitStack() as stack:
        world = World(House(host), stack)
        await world.knows(Machine("swan"), there.url)
        await world.health.probe_all()
    assert PROOF_PATH not in [path for path, _ in there.calls]

"""Three gateways of one chain, each a process of its own, as assistants and scripts meet them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_plugins.host import Host
from crow_plugins.registry.health import Health
from tests.gateway_process import CROW, Gateway, crow, running_gateway
from tests.registry.world import PATH, PROOF_PATH, Callee, House, Machine, Reply, answering, chain_home

pytestmark = pytest.mark.anyio
NAMES = ("grackle", "rook", "swan")
WAIT_SECONDS = 20.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def gateways(folder: Path) -> Iterator[dict[str, Gateway]]:
    with ExitStack() as stack:
        homes = {name: chain_home(folder, name, "home" if name == "grackle" else "satellite") for name in NAMES}
        yield {name: stack.enter_context(running_gateway(home)) for name, home in homes.items()}


async def call(gateway: Gateway, tool: str, **arguments: Any) -> dict[str, Any]:
    async with Client(gateway.mcp, auth=gateway.token) as client:
        return dict((await client.call_tool(tool, arguments)).structured_content or {})


async def listed(gateway: Gateway) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in (await call(gateway, "crow_list_instances"))["items"]}


def mirror(home: Path) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads((home / "instances.json").read_text())}


def mirrors_the_tool(gateway: Gateway, home: Path) -> bool:
    of_tool = {(item["id"], item["gateway_url"]) for item in asyncio.run(listed(gateway)).values()}
    return {(entry["id"], entry["gateway_url"]) for entry in mirror(home).values()} == of_tool


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)


async def test_registering_once_registers_both_ways(gateways: dict[str, Gateway], folder: Path) -> None:
    for name in ("rook", "swan"):
        kept = await call(gateways["grackle"], "crow_register_instance", gateway_url=gateways[name].mcp)
        assert (kept["name"], kept["role"], kept["gateway_url"]) == (name, "satellite", gateways[name].base_url)
    here = await listed(gateways["grackle"])
    assert list(here) == list(NAMES)
    assert here["grackle"]["own"]
    for name in ("rook", "swan"):
        there = (await listed(gateways[name]))["grackle"]
        assert (there["gateway_url"], there["role"]) == (gateways["grackle"].base_url, "home")
        assert there["id"] == here["grackle"]["id"]
    for name in NAMES:  # two of them hear of each other meanwhile
        await until(partial(mirrors_the_tool, gateways[name], folder / name))


def test_a_command_that_syncs_with_one_of_them_says_how_it_went_and_nothing_else(
    gateways: dict[str, Gateway], folder: Path
) -> None:
    now = crow(folder / "grackle", "sync", "now", "rook")
    assert (now.returncode, now.stdout, now.stderr) == (0, "Everything is here.\n", "")


async def test_registering_a_known_instance_again_changes_its_name_and_makes_no_second_row(
    gateways: dict[str, Gateway],
) -> None:
    url = gateways["rook"].base_url
    first = await call(gateways["grackle"], "crow_register_instance", gateway_url=url)
    named = await call(gateways["grackle"], "crow_register_instance", gateway_url=url, name="tower", role="home")
    assert (named["id"], named["name"], named["role"]) == (first["id"], "tower", "home")
    assert "rook" not in await listed(gateways["grackle"])
    await call(gateways["grackle"], "crow_update_instance", instance="tow", name="rook")
    assert (await listed(gateways["grackle"]))["rook"]["gateway_url"] == url


async def test_a_refusal_tells_the_assistant_its_code(gateways: dict[str, Gateway]) -> None:
    with pytest.raises(ToolError, match=r"^probe_of_itself: "):
        await call(gateways["grackle"], "crow_register_instance", gateway_url=gateways["grackle"].base_url)
    with pytest.raises(ToolError, match=r"^zone_off: "):
        await call(gateways["grackle"], "crow_register_instance", gateway_url="http://10.0.0.7:3001")
    with pytest.raises(ToolError, match=r"^not_found: no table memmories is synced here; did you mean memories\?"):
        await call(gateways["grackle"], "crow_list_conflicts", table="memmories")
    assert (await call(gateways["grackle"], "crow_list_conflicts", table="memories"))["total"] == 0


async def test_checking_says_who_is_there(gateways: dict[str, Gateway]) -> None:
    await call(gateways["grackle"], "crow_register_instance", gateway_url=gateways["swan"].base_url)
    assert (await call(gateways["grackle"], "crow_check_instance", instance="swan"))["reachable"]
    await call(gateways["grackle"], "crow_update_instance", instance="swan", gateway_url=gateways["rook"].base_url)
    checked = await call(gateways["grackle"], "crow_check_instance", instance="swan")
    assert not checked["reachable"]
    assert "not the instance it should be" in checked["reason"]
    await call(gateways["grackle"], "crow_update_instance", instance="swan", gateway_url="")
    assert "no address" in (await call(gateways["grackle"], "crow_check_instance", instance="swan"))["reason"]
    await call(gateways["grackle"], "crow_register_instance", gateway_url=gateways["swan"].base_url)


async def test_resources_say_the_same_as_the_tools(gateways: dict[str, Gateway]) -> None:
    gateway = gateways["grackle"]
    here = await listed(gateway)
    async with Client(gateway.mcp, auth=gateway.token) as client:
        everybody = json.loads((await client.read_resource("crow://instances"))[0].text)
        one = json.loads((await client.read_resource(f"crow://instances/{here['grackle']['id']}"))[0].text)
    assert {item["id"] for item in everybody["items"]} == {item["id"] for item in here.values()}
    assert one["own"]


async def test_what_a_command_changes_the_gateway_beside_it_sees(gateways: dict[str, Gateway], folder: Path) -> None:
    url = gateways["swan"].base_url
    done = await asyncio.to_thread(crow, folder / "rook", "instances", "register", url, "--name", "goose", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "goose"
    deadline = time.monotonic() + WAIT_SECONDS
    while "goose" not in await listed(gateways["rook"]):
        assert time.monotonic() < deadline
    removed = await asyncio.to_thread(crow, folder / "rook", "instances", "remove", "goose")
    assert removed.returncode == 0, removed.stderr
    await until(lambda: "goose" not in mirror(folder / "rook"))
    refused = await asyncio.to_thread(crow, folder / "rook", "instances", "check", "goose")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    again = await asyncio.to_thread(crow, folder / "rook", "instances", "register", url, "--json")
    assert json.loads(again.stdout)["name"] == "goose"


async def test_an_address_that_changed_is_told_with_the_next_probe(gateways: dict[str, Gateway], folder: Path) -> None:
    url = gateways["grackle"].base_url
    for port in (4001, 4002):
        home = folder / "owl"
        if not home.exists():
            chain_home(folder, "owl")
        own = f"http://127.0.0.1:{port}"
        (home / "plugin_manifest.toml").write_text(
            f'[[plugin]]\nname = "registry"\n[plugin.settings]\ngateway_url = "{own}"\n'
        )
        with Host(home) as host:
            owl = House(host)
            if not await asyncio.to_thread(owl.registry.others):
                await owl.registering.register(url)
            await Health(owl.registry, owl.registering).probe_all()
        assert (await listed(gateways["grackle"]))["owl"]["gateway_url"] == own


def test_the_list_is_there_with_every_gateway_down(folder: Path, tmp_path: Path) -> None:
    home = chain_home(tmp_path, "alone")
    done = crow(home, "instances", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert [item["name"] for item in json.loads(done.stdout)] == ["alone"]
    assert not (home / "gateway.json").exists()


@pytest.mark.parametrize("step", ["/health", PATH, PROOF_PATH])
def test_a_registration_that_was_killed_is_whole_or_not_there_and_can_be_repeated(tmp_path: Path, step: str) -> None:
    home = chain_home(tmp_path, "kestrel")
    assert crow(home, "instances", "list").returncode == 0
    swan = Callee(Machine("swan"))
    asking: list[subprocess.Popen[bytes]] = []

    def kill(body: bytes) -> Reply:
        asking[0].kill()
        asking[0].wait()
        return swan.scripts()[step](body)

    with answering({**swan.scripts(), step: kill}) as there:
        command = [*CROW, "instances", "register", there.url, "--home", str(home)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            asking.append(process)
        assert process.returncode == -signal.SIGKILL
    assert json.loads(crow(home, "instances", "list", "--json").stdout)[1:] == []
    with answering(swan.scripts()) as there:
        for _ in range(2):
            done = crow(home, "instances", "register", there.url)
            assert done.returncode == 0, done.stderr
    assert [entry["gateway_url"] for entry in mirror(home).values()] == [None, there.url]

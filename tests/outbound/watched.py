"""Calls each text of a list in every way there is to call another machine, and says where the sockets would have gone.

    python -m tests.outbound.watched FOLDER < TEXTS

A text a line comes in; a JSON object a text goes out, in the same order: for each way that came as far, the hosts that
were looked up and the addresses to which a connection was begun. Nothing leaves this process: the audit hook that
notes a connection or a look-up refuses it, as a network would that has nobody at the other end.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_hooks import Credentials, CrowError, KnownInstance
from crow_plugins.config import Home
from crow_plugins.federation import OUTBOUND
from crow_plugins.host import Host
from crow_plugins.joining import Joiner
from crow_plugins.outbound.calling import RemoteGateway, system_tls
from crow_plugins.outbound.urls import DEFAULT_ZONES, parse
from crow_plugins.replicator.transport import dial
from tests.registry.world import House, Machine, chain_home

QUIET = ("replicator", "summaries", "nest")  # they would call by themselves, and beside what is watched
CODE, TLS = bytes(16), system_tls()

reached: list[str] = []
Way = Callable[[str], Awaitable[object]]


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        _, address = arguments
        assert isinstance(address, tuple)
        reached.append(str(address[0]))
        raise ConnectionRefusedError
    if event in ("socket.sendto", "socket.sendmsg"):
        raise AssertionError("something is sent without a connection")
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        reached.append(str(arguments[0]))
        raise socket.gaierror


def ways(folder: Path, house: House, assistant: Client[Any], there: KnownInstance) -> dict[str, Way]:
    """Those that begin with a text that was typed, and those that begin with one that lies in the registry."""

    async def register(text: str) -> None:
        await assistant.call_tool("crow_register_instance", {"gateway_url": text})

    async def join(text: str) -> None:
        async with RemoteGateway(parse(text), tls=TLS) as gateway:
            await Joiner(Home(folder / "new"), gateway, now=lambda: int(time.time())).begin(CODE, "heron")

    async def probe(text: str) -> None:
        assert await house.registering.check(there)

    async def call(text: str) -> None:
        await house.host.services.find("tests", OUTBOUND).list_tools(there.instance.id)

    async def sync(text: str) -> None:
        await dial(parse(text), DEFAULT_ZONES, TLS)

    return {"register": register, "join": join, "probe": probe, "call": call, "sync": sync}


def main(folder: Path, texts: list[str]) -> None:
    home = chain_home(folder, "grackle", settings="probe_seconds = 3600")
    with (home / "plugin_manifest.toml").open("a") as manifest:
        manifest.writelines(f'[[plugin]]\nname = "{name}"\nenabled = false\n' for name in QUIET)
    with Host(home) as host:
        house = House(host)
        asyncio.run(_try_all(folder, house, texts, _kept(house, texts)))


def _kept(house: House, texts: list[str]) -> list[KnownInstance]:
    """An instance for each text, which lies in the registry as its address however it came there."""
    machines = [Machine(f"swan {number}") for number in range(len(texts))]
    house.registry.learn(Credentials(tuple(each.signed for each in machines), ()))
    with house.host.transaction() as transaction:
        for machine, text in zip(machines, texts, strict=True):
            transaction.db.execute_sql("UPDATE crow_instances SET gateway_url = ? WHERE id = ?", (text, machine.id))
    known = {each.instance.id: each for each in house.registry.others()}
    return [known[machine.id] for machine in machines]


async def _try_all(folder: Path, house: House, texts: list[str], kept: list[KnownInstance]) -> None:
    async with Client(house.host.server) as assistant:
        sys.addaudithook(watch)
        for text, there in zip(texts, kept, strict=True):
            assert there.gateway_url == text
            print(json.dumps(await _tried(ways(folder, house, assistant, there), text)))


async def _tried(ways: dict[str, Way], text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, way in ways.items():
        reached.clear()
        with suppress(ToolError, CrowError):
            await way(text)
        if reached:
            found[name] = list(reached)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdin.read().split("\n"))

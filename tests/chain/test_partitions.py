"""Connections that are cut, stall, or are half open: both sides go on, and are equal once the network is well."""

from __future__ import annotations

import asyncio
import os
from asyncio import StreamReader, StreamWriter, to_thread
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.plugins.directory import introduce
from tests.replicator.gateways import Instance, make_home, open_instance, serving, until

pytestmark = pytest.mark.anyio
SEED = b"\x0c" * 32
CUTS = int(os.environ.get("CROW_PARTITIONS", "10"))


class Proxy:
    """Passes connections on to a port, until it is told to do otherwise."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[StreamWriter] = set()
        self.flows = asyncio.Event()
        self.flows.set()
        self.takes = True
        self.url = ""

    async def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self.takes:
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, source: StreamReader, target: StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self.flows.wait()
                target.write(data)
                await target.drain()
        target.close()

    def cut(self) -> None:
        """End every connection in the middle of whatever goes over it."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def proxied(target: Instance) -> AsyncIterator[Proxy]:
    proxy = Proxy(int(target.url.rsplit(":", 1)[1]))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.flows.set()
        proxy.cut()
        server.close()


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Instance, Instance, Proxy]]:
    """Two gateways whose only way to each other goes through a proxy."""
    async with AsyncExitStack() as stack:
        made = [open_instance(make_home(folder, name, SEED)) for name in ("grackle", "swan")]
        for each in made:
            stack.callback(each.host.close)
            await stack.enter_async_context(serving(each))
        grackle, swan = made
        proxy = await stack.enter_async_context(proxied(swan))
        await to_thread(introduce, grackle.host, swan.host, proxy.url)
        await to_thread(introduce, swan.host, grackle.host, None)
        await until(lambda: bool(swan.sync.connected() and grackle.sync.connected()))
        yield grackle, swan, proxy


async def test_a_connection_that_is_cut_again_and_again_is_made_again(tmp_path: Path) -> None:
    async with pair(tmp_path) as (grackle, swan, proxy):
        expected = []
        for number in range(CUTS):
            contents = [f"{name} {number} {part}" for name in ("grackle", "swan") for part in range(5)]
            expected += contents
            writing = [grackle.remember(*contents[:5]), swan.remember(*contents[5:])]
            cutting = asyncio.create_task(_cut_soon(proxy, number))
            await asyncio.gather(*writing, cutting)
        await grackle.holds(*expected)
        await swan.holds(*expected)
        assert await to_thread(grackle.conflicts) == []


async def _cut_soon(proxy: Proxy, number: int) -> None:
    await asyncio.sleep(0.004 * (number % 10))
    proxy.cut()


async def test_while_nobody_is_reached_both_go_on_and_meet_afterwards(tmp_path: Path) -> None:
    async with pair(tmp_path) as (grackle, swan, proxy):
        proxy.takes = False
        proxy.cut()
        await until(lambda: not grackle.sync.connected() and not swan.sync.connected())
        await grackle.remember("alone at grackle")
        await swan.remember("alone at swan")
        proxy.takes = True
        for each in (grackle, swan):
            await each.holds("alone at grackle", "alone at swan")


async def test_a_link_that_swallows_everything_keeps_neither_side_from_working(tmp_path: Path) -> None:
    async with pair(tmp_path) as (grackle, swan, proxy):
        proxy.flows.clear()
        await asyncio.wait_for(grackle.remember(*(f"into the void {number}" for number in range(20))), 5)
        assert len(await to_thread(grackle.contents)) == 20
        assert await to_thread(swan.contents) == []
        proxy.flows.set()
        await swan.holds(*(f"into the void {number}" for number in range(20)))

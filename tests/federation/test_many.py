"""Ten gateways on loopback, of which some do not do as they should: the search answers all the same, and in time."""

from __future__ import annotations

import asyncio
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from fastmcp import Client

from crow_hooks import CallAnswer
from crow_plugins import gateway
from crow_plugins.federation.inbound import INBOUND
from crow_plugins.host import Host
from tests.federation.chain import call_tool, federation, know, make_home, over_http
from tests.federation.world import served
from tests.replicator.gateways import Instance, serving

pytestmark = pytest.mark.anyio
DEAD = "http://127.0.0.1:9"
DEADLINE_SECONDS = 12.0
NO_CLOCKS: Mapping[str, Callable[[], float]] = MappingProxyType({})
WELL = ("swan", "heron", "gateway-4", "gateway-5", "gateway-6")


class Wire:
    """A port before a gateway: what came in, over how many connections; it hangs, or passes bytes on after a while."""

    def __init__(self, target: str = "", *, wait_seconds: float = 0.0) -> None:
        self.target, self._wait_seconds = target, wait_seconds
        self.connections, self.heard = 0, bytearray()
        self.hung_up = asyncio.Event()  # one that hangs was left by whoever called

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self.target:
            self.heard += await reader.read()
            self.hung_up.set()
            writer.close()
            return
        host, port = self.target.removeprefix("http://").split(":")
        there_reader, there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pump(reader, there, self.note), self._pump(there_reader, writer, len))

    def note(self, part: bytes) -> None:
        """Something came from the caller and goes on after this."""
        self.heard += part

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, note: Callable[[bytes], object]
    ) -> None:
        try:
            while part := await source.read(65_536):
                note(part)
                await asyncio.sleep(self._wait_seconds)
                sink.write(part)
                await sink.drain()
        except ConnectionError:
            pass  # whoever is behind it had enough
        finally:
            sink.close()


@asynccontextmanager
async def many(
    folder: Path, *names: str, plugins: str = "", clocks: Mapping[str, Callable[[], float]] = NO_CLOCKS
) -> AsyncIterator[dict[str, Instance]]:
    """The first knows all others and is known to them; all serve. The first has the plugins, as manifest lines."""
    async with AsyncExitStack() as stack:
        made: dict[str, Instance] = {}
        for name in names:
            home = make_home(folder, name)
            with (home / "plugin_manifest.toml").open("a") as manifest:
                manifest.write("" if made else plugins)
            instance = Instance(home, Host(home, now=clocks.get(name, time.time)))
            stack.callback(instance.host.close)
            made[name] = await stack.enter_async_context(serving(instance))
        first, *others = made.values()
        for other in others:
            await to_thread(know, first, other, other.url)
            await to_thread(know, other, first, first.url)
        yield made


async def test_ten_instances_are_searched_though_four_do_not_do_as_they_should(tmp_path: Path) -> None:
    names = ("grackle", *WELL, "slow", "refusing", "hung", "down")
    async with many(tmp_path, *names) as made, Wire().open() as hung, AsyncExitStack() as stack:
        grackle = made["grackle"]
        slow = await stack.enter_async_context(Wire(made["slow"].url, wait_seconds=0.1).open())
        for name in (*WELL, "slow", "grackle"):
            await made[name].remember(f"tax notes of {name}")
        await made["swan"].remember(*(f"tax {number}" for number in range(60)))
        for name, url in {"hung": hung, "down": DEAD, "slow": slow}.items():
            await to_thread(know, grackle, made[name], url)
        exposure = made["refusing"].host.services.find("tests", INBOUND).exposure
        await to_thread(exposure.deny, "*")
        asking = asyncio.create_task(
            call_tool(grackle, "crow_federated_search", query="tax", limit=100, timeout_seconds=DEADLINE_SECONDS)
        )
        async with Client(grackle.host.server) as client:  # local tools answer while one is waited for
            await client.call_tool("crow_memory_stats", {})
        assert not asking.done()
        found = await asking
    reports = {each["name"]: each for each in found["instances"]}
    expected = dict.fromkeys(("grackle", *WELL, "slow"), "ok")
    assert {name: each["status"] for name, each in reports.items()} == {
        **expected,
        "refusing": "refused",
        "hung": "timed_out",
        "down": "unreachable",
    }
    assert all(reports[name]["reason"] for name in ("refusing", "hung", "down"))
    assert found["complete"] is False
    holders = [holder for item in found["items"] for holder in item["held_by"]]
    assert set(holders) == set(expected)
    assert holders.count("swan") <= 50
    leading = {holder for item in found["items"][:14] for holder in item["held_by"]}
    assert leading == set(expected), "nobody is crowded out by the sixty of swan"


async def test_a_call_is_one_post_on_a_kept_connection_and_carries_nothing_of_the_assistant(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        wire = Wire(swan.url)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            arguments = {"instance": "swan", "tool": "crow_search", "arguments": {"query": "x"}}
            tokens = [await over_http(grackle, "crow_call_instance", **arguments)]
            before = wire.heard.count(b"POST /mcp")
            tokens += [await over_http(grackle, "crow_call_instance", **arguments) for _ in range(5)]
            assert wire.heard.count(b"POST /mcp") - before == 5
            assert (wire.connections, wire.heard.count(b"GET ")) == (1, 0)
            assert wire.heard.count(b"POST /.well-known/crow ") == 1  # for the connection, not for each call
            assert [token for token in tokens if token.encode() in wire.heard] == []
            assert wire.heard.lower().count(b"authorization: bearer ") == wire.heard.count(b"POST /mcp")


async def test_no_more_than_eight_calls_of_one_peer_run_at_once_and_all_answer(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        wire = Wire(swan.url, wait_seconds=0.02)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            calls = [federation(grackle).call(swan.host.instance.id, "crow_search", {"query": "x"}) for _ in range(24)]
            answers: list[Any] = await asyncio.gather(*calls)
            assert [type(each).__name__ for each in answers] == ["CallAnswer"] * 24
            assert 1 < wire.connections <= 8


async def test_after_a_restart_of_the_other_the_first_call_gets_through(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        wire, there = Wire(), federation(grackle)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            for _ in range(3):
                async with served(gateway.application(swan.host)) as wire.target:
                    posts = wire.heard.count(b"POST /mcp")
                    for _ in range(2):
                        outcome = await there.call(swan.host.instance.id, "crow_search", {"query": "x"})
                        assert isinstance(outcome, CallAnswer), outcome
                    assert wire.heard.count(b"POST /mcp") - posts == 2
            assert wire.connections == 3

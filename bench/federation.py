"""Calls between instances, beside calls of the same tool on a bare FastMCP server and through FastMCP's stock proxy.

The instances that are called are gateways, each a process of its own, and so is the bare server. The calling one is an
installation in this process: its federation service is asked as a plugin asks it. All over connections that are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server import create_proxy

from bench import meanwhile
from bench.echo import NAME
from bench.figures import Figure, below, measured
from bench.machines import Machine
from bench.processes import python, running
from bench.size import Size
from crow_hooks import FEDERATION, CallAnswer
from crow_plugins.host import Host
from crow_plugins.identity import certificate
from crow_plugins.memories.memories import Memories
from crow_plugins.registry import OWN

OVERHEAD, SEARCH = below(1.5, 1.15), below(50, 10)
ROUNDS, WARM_UP = 5, 20
AT_ONCE, PEERS_AT_ONCE = 16, 2
DEAD = "http://127.0.0.1:9"
ARGUMENTS = {"text": "a note of three hundred bytes or so, as they are. " * 6}
# What is measured is the way of a call and not how many a machine may make in a minute.
MANIFEST = f"""
[[plugin]]
name = "replicator"
enabled = false

[[plugin]]
name = "echo"
module = "bench.echo"

[[plugin]]
name = "federation"
[plugin.settings]
calls_per_minute = 100000
expose = ["{NAME}", "crow_search"]
"""
NOTES = tuple(f"tax notes, number {number}" for number in range(30))

Call = Callable[[], Awaitable[object]]


def measure(size: Size) -> Iterator[Figure]:
    """One calls `size.peers` others; a last one is known and dead."""
    with TemporaryDirectory(prefix="crow-bench-") as folder, ExitStack() as stack:
        machines = [Machine(Path(folder) / f"machine{number}") for number in range(size.peers + 2)]
        caller, *peers, dead = machines
        dead.url = DEAD
        for machine in machines:
            (machine.home / "plugin_manifest.toml").write_text(MANIFEST)
            (machine.home / "plugin_manifest.toml").chmod(0o600)
        for peer in peers:
            _furnish(peer, [caller])
            stack.enter_context(peer.serving())
        _furnish(caller, [*peers, dead])
        bare = [stack.enter_context(running(python("bench.bare_server"))).heard()["mcp"] for _ in peers[:PEERS_AT_ONCE]]
        host = stack.enter_context(Host(caller.home))
        yield from asyncio.run(_measure(host, peers, bare, size.calls))


def _furnish(machine: Machine, known: Sequence[Machine]) -> None:
    with Host(machine.home) as host:
        memories, registry = Memories(host.hook.handle("memories")), host.services.find("bench", OWN)
        for note in NOTES:
            memories.store({"content": f"{note} of {machine.name}"})
        for other in known:
            signed = other.identity.certificate
            registry.keep(certificate.read(signed, bytes.fromhex(other.identity.chain)), signed.encode(), other.url)


async def _measure(host: Host, peers: Sequence[Machine], bare: Sequence[str], calls: int) -> list[Figure]:
    federation = host.services.find("bench", FEDERATION)

    async def federated(instance_id: str) -> None:
        outcome = await federation.call(instance_id, NAME, ARGUMENTS)
        assert isinstance(outcome, CallAnswer), outcome

    async with host.serving(), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(StreamableHttpTransport(url))) for url in bare]
        proxy = await stack.enter_async_context(Client(create_proxy(bare[0])))
        ways: dict[str, Call] = {
            "call of a bare FastMCP server": lambda: clients[0].call_tool(NAME, ARGUMENTS),
            "the same through the stock proxy": lambda: proxy.call_tool(NAME, ARGUMENTS),
            "the same by federation": lambda: federated(peers[0].id),
        }
        over_servers = [partial(client.call_tool, NAME, ARGUMENTS) for client in clients]
        over_instances = [partial(federated, peer.id) for peer in peers[: len(bare)]]
        many = f"{AT_ONCE} calls at once over {len(bare)}"
        return [
            *await _overhead(ways, calls),
            await _sustained(f"{many} bare servers", over_servers, calls),
            await _sustained(f"{many} instances", over_instances, calls),
            *await meanwhile.measure(host, peers, calls),
            *await _searched(host, len(peers) + 2, calls),
        ]


async def _overhead(ways: Mapping[str, Call], calls: int) -> list[Figure]:
    """The ways take turns, so that a slow moment of the machine meets all of them."""
    for call in ways.values():
        for _ in range(min(WARM_UP, calls)):
            await call()
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(max(1, calls // ROUNDS)):
            for name, call in ways.items():
                times[name].append(await _milliseconds(call))
        for name, spent in times.items():
            rounds[name].append(median(spent))
    bare, proxied, federated = rounds.values()
    return [
        *(measured(name, medians, "ms") for name, medians in rounds.items()),
        measured("the stock proxy against the bare call", _ratios(proxied, bare), "×"),
        measured("federated call against the bare call", _ratios(federated, bare), "×", OVERHEAD),
    ]


async def _sustained(name: str, calls: Sequence[Call], count: int) -> Figure:
    """So many under way at any time, and none of them fails."""
    rates = []
    for _ in range(ROUNDS):
        left = iter(range(max(AT_ONCE, count)))

        async def work(call: Call, left: Iterator[int] = left) -> None:
            for _ in left:
                await call()

        began = time.perf_counter()
        await asyncio.gather(*(work(calls[number % len(calls)]) for number in range(AT_ONCE)))
        rates.append(max(AT_ONCE, count) / (time.perf_counter() - began))
    return measured(name, rates, "calls/s")


async def _searched(host: Host, instances: int, calls: int) -> list[Figure]:
    """What a search takes, and what of that beyond the slowest instance that answered."""
    took, beyond = [], []
    async with Client(host.server) as client:
        for _ in range(max(2, calls // 10)):
            began = time.perf_counter()
            found = (await client.call_tool("crow_federated_search", {"query": "tax notes"})).structured_content or {}
            took.append((time.perf_counter() - began) * 1000)
            answered = [each["milliseconds"] for each in found["instances"] if each["status"] == "ok"]
            assert len(answered) == instances - 1, found["instances"]
            beyond.append(took[-1] - max(answered))
    name = f"search of {instances} instances, one dead"
    return [measured(name, took, "ms"), measured(f"{name}, beyond the slowest of the others", beyond, "ms", SEARCH)]


def _ratios(times: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(times, others, strict=True)]


async def _milliseconds(call: Call) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000

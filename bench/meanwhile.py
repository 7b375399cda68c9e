"""Local tools while a search waits for other instances: of those one hangs, one is slow and one is down.

A gateway that hangs is one whose process is stopped: the system still takes its connections, and nothing answers.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastmcp import Client

from bench.figures import NO_LIMITS, Figure, Limits, below, measured, percentile
from bench.machines import Machine
from crow_plugins.host import Host

LIMIT = below(5)
ROUNDS = 3  # fewer than the failures after which one that hangs is no longer asked
SEARCH_SECONDS_MIN, SEARCH_SECONDS_MAX = 0.5, 3.0
QUERY = {"query": "tax notes"}


async def measure(host: Host, peers: Sequence[Machine], calls: int) -> list[Figure]:
    """Milliseconds of a local tool, alone and meanwhile. `peers` serve; the host knows them, and one that is dead."""
    hung, *others = reversed(peers)
    seconds = max(SEARCH_SECONDS_MIN, min(SEARCH_SECONDS_MAX, calls / 100))
    alone, meanwhile = list[list[float]](), list[list[float]]()
    async with Client(host.server) as client, Client(host.server) as asking:
        await _milliseconds(client)
        for _ in range(ROUNDS):
            alone.append([await _milliseconds(client) for _ in range(calls)])
            with stopped(hung):
                meanwhile.append(await _during_a_search(client, asking, others[:1], seconds))
    name = f"local tool while {len(peers) + 2} instances are searched, one hung, one slow, one down"
    return [*_figures("local tool, nothing going on", alone), *_figures(name, meanwhile, LIMIT)]


async def _during_a_search(
    client: Client[Any], asking: Client[Any], slow: Sequence[Machine], seconds: float
) -> list[float]:
    loop, times = asyncio.get_running_loop(), list[float]()
    for machine in slow:
        _tell(machine, signal.SIGSTOP)
        loop.call_later(seconds / 3, _tell, machine, signal.SIGCONT)
    searching = asyncio.create_task(asking.call_tool("crow_federated_search", {**QUERY, "timeout_seconds": seconds}))
    while not searching.done():
        times.append(await _milliseconds(client))
    found = (await searching).structured_content or {}
    statuses = [each["status"] for each in found["instances"]]
    assert statuses.count("timed_out") == 1, found["instances"]
    return times


@contextmanager
def stopped(machine: Machine) -> Iterator[None]:
    _tell(machine, signal.SIGSTOP)
    try:
        yield
    finally:
        _tell(machine, signal.SIGCONT)


def _tell(machine: Machine, what: signal.Signals) -> None:
    assert machine.process is not None
    machine.process.send_signal(what)


def _figures(name: str, rounds: Sequence[Sequence[float]], limits: Limits = NO_LIMITS) -> list[Figure]:
    return [
        measured(f"{name}, p50", [percentile(times, 0.5) for times in rounds], "ms"),
        measured(f"{name}, p95", [percentile(times, 0.95) for times in rounds], "ms", limits),
        measured(f"{name}, slowest", [max(times) for times in rounds], "ms"),
    ]


async def _milliseconds(client: Client[Any]) -> float:
    began = time.perf_counter()
    await client.call_tool("crow_memory_stats", {})
    return (time.perf_counter() - began) * 1000

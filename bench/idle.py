"""What a gateway takes that has nothing to do but to stay connected with its peers: real ones, all of one person.

Read from the kernel: the processor time that the process had, as a share of one core, and the memory it holds. Beside
it stands how much slower this machine runs what it has not run for a second, since a gateway that idles does nothing
else.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from bench.figures import Figure, below, measured
from bench.machines import Machine
from bench.size import Size

CPU, MEMORY = below(1, 0.3), below(150)
PARTS = 4
CONNECTED_SECONDS_MAX = 120.0
SECONDS_A_LOOP = 5


def measure(size: Size) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder, ExitStack() as stack:
        grackle, *peers = chain(stack, Path(folder), 1 + size.peers)
        wait_until_connected(grackle, len(peers))
        time.sleep(size.settle_seconds)
        assert grackle.process is not None
        shares = list(_percent_of_a_core(grackle.process.pid, size.idle_seconds / PARTS))
        mebibytes = resident_mebibytes(grackle.process.pid)
    in_a_row = statistics.median(_loop_seconds(after=0.0) for _ in range(100))
    slower = [_loop_seconds(after=1.0) / in_a_row for _ in range(1 + int(size.idle_seconds / SECONDS_A_LOOP))]
    with_peers = f"idle gateway with {size.peers} peers"
    yield measured(f"{with_peers}, of one core", shares, "%", CPU, value=sum(shares) / PARTS)
    yield measured(f"{with_peers}, memory", [mebibytes], "MiB", MEMORY)
    yield measured("a short loop after a second of sleep, against the same in a row", slower, "×")


def chain(stack: ExitStack, folder: Path, count: int) -> list[Machine]:
    """Machines that serve until the stack ends; all know the first, and by it one another."""
    machines = [Machine(folder / f"machine{number}") for number in range(count)]
    for machine in machines:
        stack.enter_context(machine.serving())
    for machine in machines[1:]:
        machine.crow("instances", "register", machines[0].url)
    return machines


def wait_until_connected(machine: Machine, peers: int) -> None:
    began, token, connected = time.perf_counter(), machine.token(), 0
    while connected < peers:
        if time.perf_counter() - began > CONNECTED_SECONDS_MAX:
            raise TimeoutError(f"{machine.name} is connected with {connected} of {peers} peers")
        time.sleep(0.2)
        connected = asyncio.run(_connected(machine, token))


def resident_mebibytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """Those of all its threads, in its own code and in the kernel."""
    after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_the_name[11]) + int(after_the_name[12])) / os.sysconf("SC_CLK_TCK")


def _percent_of_a_core(pid: int, seconds: float) -> Iterator[float]:
    for _ in range(PARTS):
        began, had = time.perf_counter(), processor_seconds(pid)
        time.sleep(seconds)
        yield 100 * (processor_seconds(pid) - had) / (time.perf_counter() - began)


def _loop_seconds(*, after: float) -> float:
    """Processor time of a few thousand steps of Python, after so many seconds of sleep."""
    time.sleep(after)
    began = time.thread_time()
    for _ in range(3_000):
        pass
    return time.thread_time() - began


async def _connected(machine: Machine, token: str) -> int:
    async with Client(StreamableHttpTransport(f"{machine.url}/mcp", auth=token)) as client:
        status = (await client.call_tool("crow_sync_status", {})).structured_content or {}
    return sum(feed["connected"] for feed in status["feeds"])

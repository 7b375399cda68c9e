"""Gateways of one chain in one process, each on a port of its own, with clients' view of what they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from crow_hooks import Resolution
from crow_plugins.files import make_private_folder
from crow_plugins.gateway import Server, WebSocketProtocol, application
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring
from crow_plugins.memories.memories import Memories
from crow_plugins.replicator import SYNC
from crow_plugins.replicator.conflicts import ConflictRecord, Conflicts
from crow_plugins.replicator.sync import InstanceSyncManager
from tests.plugins.directory import introduce

MANIFEST = """
[[plugin]]
name = "registry"
module = "tests.plugins.directory"
enabled = true
requires = []

[[plugin]]
name = "replicator"
module = "crow_plugins.replicator"
enabled = true
requires = ["registry"]
"""
WAIT_SECONDS = 60.0  # for a loaded machine; what is waited for comes in a moment


@dataclass
class Instance:
    """One installation; serving while `serving` has it open."""

    home: Path
    host: Host
    url: str = ""

    @property
    def sync(self) -> InstanceSyncManager:
        return self.host.services.find("tests", SYNC)

    @property
    def memories(self) -> Memories:
        return Memories(self.host.hook.handle("memories"))

    def contents(self) -> list[str]:
        with self.host.read() as db:
            return [row[0] for row in db.execute_sql("SELECT content FROM memories ORDER BY content").fetchall()]

    async def remember(self, *contents: str) -> None:
        for content in contents:
            await asyncio.to_thread(self.memories.store, {"content": content})

    def forget(self, content: str) -> None:
        with self.host.read() as db:
            [row] = db.execute_sql("SELECT id FROM memories WHERE content = ?", (content,)).fetchall()
        self.memories.delete(row[0])

    def deleted(self) -> int:
        """How many rows are known to be deleted."""
        with self.host.read() as db:
            rows = db.execute_sql("SELECT count(*) FROM row_versions WHERE digest IS NULL").fetchone()
        return int(rows[0])

    @property
    def desk(self) -> Conflicts:
        return Conflicts(self.host.hook.handle("replicator"), lambda: self.host.owners)

    def conflicts(self) -> list[ConflictRecord]:
        return self.desk.list().items

    def settle(self, conflict_id: str, resolution: Resolution) -> None:
        self.desk.resolve(conflict_id, resolution, by="person")

    def settled(self, conflict_id: str) -> ConflictRecord:
        return self.desk.get(conflict_id)

    async def apart(self) -> None:
        """Neither dial nor hear anybody for a while."""
        await self.sync.stop()
        await until(lambda: not self.sync.connected())

    async def together(self) -> None:
        await self.sync.start()

    async def holds(self, *contents: str) -> None:
        await until(lambda: self.contents() == sorted(contents))


def make_home(folder: Path, name: str, seed: bytes) -> Path:
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=int(time.time()), seed=seed)
    (home / "plugin_manifest.toml").write_text(MANIFEST)
    return home


def open_instance(home: Path) -> Instance:
    return Instance(home, Host(home))


@asynccontextmanager
async def serving(instance: Instance) -> AsyncIterator[Instance]:
    """The instance as a gateway on a free port."""
    config = uvicorn.Config(
        application(instance.host),
        port=0,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=1,
        ws=WebSocketProtocol,
    )
    answers = asyncio.Event()
    server = Server(config, instance.host, answers.set)
    task = asyncio.create_task(server.serve())
    await asyncio.wait({task, waiting := asyncio.create_task(answers.wait())}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    instance.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield instance
    finally:
        server.stop()
        await task


async def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true, looking on a worker thread."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110  # a database tells no event
            await asyncio.sleep(0.005)


async def acquainted(*instances: Instance, reachable: bool = True) -> None:
    """Have all know all, with their addresses."""
    for one in instances:
        for other in instances:
            if one is not other:
                await asyncio.to_thread(introduce, one.host, other.host, other.url if reachable and other.url else None)

"""Feeds go over between us and the npm Hypercore, live, both ways, and what was tampered with is refused by both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from crow_plugins.feed import Batch, Feed, MemoryStorage, RemoteProtocolError, Writer, created
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Ended, Secured
from crow_plugins.feed.wire import Wire
from crow_plugins.identity.keys import KeyPair
from tests.interop.npm import HERE, HERE_TOO, NODE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not HERE_TOO, reason="needs Node.js, and npm ci in tests/interop"),
]

SEED = bytes([9]) * 32
KEY = KeyPair(SEED)
WRITER = Writer(KEY.public_key, KEY.sign)
SECONDS_MAX = 60


class Npm:
    """The other side, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = 0

    async def do(self, job: str, **options: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": job, **options}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer


@asynccontextmanager
async def npm(**options: object) -> AsyncIterator[Npm]:
    assert NODE is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, "replicate.mjs", cwd=HERE, stdin=pipe, stdout=pipe, limit=1 << 26
    )
    other = Npm(process)
    try:
        opened = await other.do("open", **{"key": None, "seed": None, **options})
        other.port = opened["port"]
        yield other
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:  # it waits for a block that never comes
            process.kill()
            await process.wait()


@dataclass
class Ours:
    """Our side of one connection: one feed in memory."""

    feed: Feed
    events: list[FeedEvent] = field(default_factory=list)
    failed: RemoteProtocolError | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        session = Replication(Wire(initiator=True, static=KeyPair(b"\5" * 32), randomness=os.urandom(RANDOM_BYTES)))
        shelf = Shelf(self.feed)
        reading = asyncio.ensure_future(reader.read(65_536))
        try:
            writer.write(session.data_to_send())
            while True:
                woken = asyncio.ensure_future(self._woken.wait())
                await asyncio.wait({reading, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._woken.clear()
                if reading.done():
                    data = reading.result()
                    session.receive_data(data)
                    while (event := session.next_event()) is not None:
                        if isinstance(event, Secured):
                            session.offer(self.feed.key)
                        if isinstance(event, Ended):
                            return
                    reading = asyncio.ensure_future(reader.read(65_536))
                self.events += session.work(shelf)
                while session.has_work:
                    self.events += session.work(shelf)
                writer.write(session.data_to_send())
                await writer.drain()
                self._changed.set()
        except RemoteProtocolError as error:
            self.failed = error
        except ConnectionError:
            return
        finally:
            reading.cancel()
            writer.close()
            self._changed.set()

    def wake(self) -> None:
        self._woken.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not true():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Shelf:
    """The one feed, with its storage in memory."""

    only: Feed

    def feed(self, key: bytes) -> Feed:
        return self.only

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)


@asynccontextmanager
async def connected(ours: Ours, other: Npm) -> AsyncIterator[None]:
    running = asyncio.create_task(ours.run(other.port))
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def blocks(count: int, word: str = "block") -> list[bytes]:
    return [f"{word} {number} ".encode() * (1 + number % 9) for number in range(count)]


def hexed(blocks: list[bytes]) -> list[str]:
    return [block.hex() for block in blocks]


def our_feed(*content: bytes) -> Feed:
    feed = created(WRITER.public_key, MemoryStorage())
    if content:
        feed.storage.store(feed.append(content, WRITER))
    return feed


def held(feed: Feed) -> list[bytes]:
    return [feed.block(seq) for seq in range(feed.head.length)]


def is_whole(feed: Feed, length: int) -> bool:
    return feed.head.length == length == feed.storage.held().contiguous


async def done(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(SECONDS_MAX):
        return await work


async def test_npm_takes_our_feed_and_what_we_append_to_it_live() -> None:
    content = blocks(2000)
    ours = Ours(our_feed(*content))
    async with npm(key=ours.feed.key.hex()) as other, connected(ours, other):
        await done(other.do("wait", length=2000))
        got = await done(other.do("get", start=0, end=2000))
        assert got["blocks"] == hexed(content)
        for number in range(3):
            ours.feed.storage.store(ours.feed.append([b"live %d" % number], WRITER))
            ours.wake()
            await done(other.do("wait", length=2001 + number))
        got = await done(other.do("get", start=2000, end=2003))
        assert got["blocks"] == hexed([b"live 0", b"live 1", b"live 2"])
        assert got["errors"] == []


async def test_we_take_the_feed_of_npm_and_what_it_appends_live() -> None:
    content = blocks(2000)
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(content))
        ours = Ours(Feed(bytes.fromhex(opened["key"]), MemoryStorage()))
        async with connected(ours, other):
            await ours.until(lambda: is_whole(ours.feed, 2000))
            assert held(ours.feed) == content
            await other.do("append", blocks=hexed([b"live"]))
            await ours.until(lambda: is_whole(ours.feed, 2001))
        await other.do("append", blocks=hexed(blocks(50, "later")))
        again = Ours(ours.feed)
        async with connected(again, other):
            await again.until(lambda: is_whole(again.feed, 2051))
        assert held(ours.feed)[2001:] == blocks(50, "later")


async def test_we_follow_npm_to_another_branch() -> None:
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(blocks(40)))
        ours = Ours(Feed(bytes.fromhex(opened["key"]), MemoryStorage()))
        async with connected(ours, other):
            await ours.until(lambda: is_whole(ours.feed, 40))
            await other.do("truncate", length=23, fork=5)
            await other.do("append", blocks=hexed(blocks(3, "other")))
            await ours.until(lambda: ours.feed.head.fork == 5 and is_whole(ours.feed, 26))
            assert held(ours.feed) == blocks(40)[:23] + blocks(3, "other")


async def test_npm_follows_us_to_another_branch() -> None:
    ours = Ours(our_feed(*blocks(40)))
    async with npm(key=ours.feed.key.hex()) as other, connected(ours, other):
        await done(other.do("wait", length=40))
        await done(other.do("get", start=0, end=40))
        ours.feed.storage.store(ours.feed.truncate(23, 5, WRITER))
        ours.feed.storage.store(ours.feed.append(blocks(3, "other"), WRITER))
        ours.wake()
        await done(other.do("update", fork=5))
        await done(other.do("wait", length=26))
        got = await done(other.do("get", start=20, end=26))
        assert got["blocks"] == hexed(blocks(40)[20:23] + blocks(3, "other"))


class Tampered(MemoryStorage):
    """Gives one block other than it was stored."""

    def blocks(self, seqs: Any) -> Any:
        found = dict(super().blocks(seqs))
        return {seq: b"tampered" if seq == 5 else block for seq, block in found.items()}


async def test_npm_refuses_a_block_of_ours_that_was_tampered_with() -> None:
    feed = created(WRITER.public_key, Tampered())
    feed.storage.store(feed.append(blocks(10), WRITER))
    ours = Ours(feed)
    async with npm(key=feed.key.hex()) as other, connected(ours, other):
        await done(other.do("wait", length=10))
        good = await done(other.do("get", start=0, end=5))
        assert good["blocks"] == hexed(blocks(5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await other.do("get", start=5, end=6)

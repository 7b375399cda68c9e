"""Feeds go over between us and the npm Hypercore, live, both ways, and what was tampered with is refused by both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from crow_plugins.feed import Batch, Feed, MemoryStorage, RemoteProtocolError, Writer, created
from crow_plugins.feed.errors import BadProof
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
    """Our side of one connection: feeds in memory, one of which is looked at.

    What passes may be changed on its way, by `comes` and `goes`; after `bytes_max` received the connection breaks.
    """

    feed: Feed
    more: tuple[Feed, ...] = ()
    comes: Callable[[bytes], bytes] = lambda data: data
    goes: Callable[[bytes], bytes] = lambda data: data
    bytes_max: int = 1 << 40
    events: list[FeedEvent] = field(default_factory=list)
    failed: RemoteProtocolError | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        session = Replication(Wire(initiator=True, static=KeyPair(b"\5" * 32), randomness=os.urandom(RANDOM_BYTES)))
        shelf, received = Shelf({feed.key: feed for feed in (self.feed, *self.more)}), 0
        reading = asyncio.ensure_future(reader.read(65_536))
        try:
            writer.write(session.data_to_send())  # the handshake
            while received < self.bytes_max:
                woken = asyncio.ensure_future(self._woken.wait())
                await asyncio.wait({reading, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._woken.clear()
                if reading.done():
                    data = reading.result()
                    received += len(data)
                    session.receive_data(self.comes(data))
                    while (event := session.next_event()) is not None:
                        if isinstance(event, Secured):
                            for key in shelf.feeds:
                                session.offer(key)
                        if isinstance(event, Ended):
                            return
                    reading = asyncio.ensure_future(reader.read(65_536))
                self.events += session.work(shelf)
                while session.has_work:
                    self.events += session.work(shelf)
                writer.write(self.goes(session.data_to_send()))
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
    """Feeds by key, with their storage in memory."""

    feeds: dict[bytes, Feed]

    def feed(self, key: bytes) -> Feed:
        return self.feeds[key]

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)


@asynccontextmanager
async def connected(ours: Ours, other: Npm) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(ours.run(other.port))
    running.add_done_callback(lambda _: ours._changed.set())
    try:
        yield running
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


SIZES = {
    "one": blocks(1),
    "two": blocks(2),
    "three": blocks(3),
    "a thousand": blocks(1000),
    "empty ones": [b"", b"a", b"", b""],
    "large ones": [bytes([number]) * 256 * 1024 for number in range(5)],
}


@pytest.mark.parametrize("content", SIZES.values(), ids=SIZES)
async def test_a_feed_of_any_size_goes_over_to_npm_and_back(content: list[bytes]) -> None:
    ours = Ours(our_feed(*content))
    async with npm(key=ours.feed.key.hex()) as other, connected(ours, other):
        taken = await done(other.do("take", length=len(content)))
        got = await done(other.do("get", start=0, end=len(content)))
        assert (got["blocks"], got["errors"]) == (hexed(content), [])
        assert taken["tree_hash"] == ours.feed.head.tree_hash.hex()
        back = Ours(Feed(ours.feed.key, MemoryStorage()))
        async with connected(back, other):
            await back.until(lambda: is_whole(back.feed, len(content)))
        assert held(back.feed) == content
        assert back.feed.head == ours.feed.head


async def test_a_hundred_thousand_blocks_go_over_both_ways() -> None:
    count, size = 100_000, 30
    async with npm(seed=SEED.hex()) as writer:
        filled = await writer.do("fill", count=count, size=size)
        ours = Ours(Feed(bytes.fromhex(filled["key"]), MemoryStorage()))
        async with connected(ours, writer):
            await ours.until(lambda: is_whole(ours.feed, count))
    assert ours.feed.head.tree_hash.hex() == filled["tree_hash"]
    async with npm(key=filled["key"]) as reader, connected(ours, reader):
        taken = await done(reader.do("take", length=count))
    assert (taken["tree_hash"], taken["errors"]) == (filled["tree_hash"], [])


async def test_both_append_live_over_one_connection() -> None:
    other_key = KeyPair(bytes([8]) * 32)
    mine = created(other_key.public_key, MemoryStorage())
    writer = Writer(other_key.public_key, other_key.sign)
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("also", key=mine.key.hex())
        ours = Ours(Feed(bytes.fromhex(opened["key"]), MemoryStorage()), more=(mine,))
        async with connected(ours, other):
            for number in range(20):
                mine.storage.store(mine.append([b"ours %d" % number], writer))
                ours.wake()
                await other.do("append", blocks=hexed([b"theirs %d" % number]))
            await ours.until(lambda: is_whole(ours.feed, 20))
            got = await done(other.do("second", length=20))
    assert held(ours.feed) == [b"theirs %d" % number for number in range(20)]
    assert got["blocks"] == hexed([b"ours %d" % number for number in range(20)])


async def test_a_connection_that_is_cut_at_random_is_resumed_until_all_is_there() -> None:
    content, chosen, cuts = blocks(3000), random.Random(4711), 0
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(content))
        feed = Feed(bytes.fromhex(opened["key"]), MemoryStorage())
        while not is_whole(feed, len(content)):
            before = feed.storage.held().contiguous
            ours = Ours(feed, bytes_max=chosen.randrange(1, 120_000))
            async with connected(ours, other) as running:
                await ours.until(lambda ours=ours, running=running: running.done() or is_whole(ours.feed, 3000))  # type: ignore[misc]
            assert feed.storage.held().contiguous >= before
            cuts += 1
    assert held(feed) == content
    assert cuts > 2


@pytest.mark.parametrize("place", [3, 40, 200, 1500])
async def test_a_bit_that_flips_on_its_way_to_us_is_refused_by_name(place: int) -> None:
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(blocks(200)))
        ours = Ours(Feed(bytes.fromhex(opened["key"]), MemoryStorage()), comes=Flip(place))
        async with asyncio.timeout(SECONDS_MAX):
            await ours.run(other.port)
        assert isinstance(ours.failed, RemoteProtocolError)
        reached = ours.feed.storage.held().contiguous
        assert [ours.feed.block(seq) for seq in range(reached)] == blocks(200)[:reached]


@pytest.mark.parametrize("place", [40, 150, 200])
async def test_a_bit_that_flips_on_its_way_to_npm_is_refused_there(place: int) -> None:
    ours = Ours(our_feed(*blocks(200)), goes=Flip(place))
    async with npm(key=ours.feed.key.hex()) as other:
        async with asyncio.timeout(SECONDS_MAX):
            await ours.run(other.port)  # until npm closes
        assert (await other.do("state"))["length"] in (0, 200)


async def test_we_refuse_a_block_of_npm_that_was_tampered_with() -> None:
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(blocks(40)))
        await other.do("tamper", seq=23)
        ours = Ours(Feed(bytes.fromhex(opened["key"]), MemoryStorage()))
        async with asyncio.timeout(SECONDS_MAX):
            await ours.run(other.port)
    assert isinstance(ours.failed, BadProof)
    assert 23 not in ours.feed.storage.held()


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


class Flip:
    """Flips one bit of what passes, so many bytes from the beginning."""

    def __init__(self, place: int) -> None:
        self._left = place

    def __call__(self, data: bytes) -> bytes:
        place, self._left = self._left, self._left - len(data)
        if not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


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

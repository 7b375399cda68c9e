"""A copy of any feed in a file of JSON Lines: fetched from an ordinary Hypercore peer, and every block verified.

Each line is one block, in order: `{"seq": 0, "text": …}`, or `base64` where a block is no UTF-8. A file that is there
already is gone on with: its last block is fetched again, and fits only if all before it do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crow_hooks import CrowError
from crow_plugins.feed import Batch, Feed, Head, MemoryStorage, RemoteProtocolError
from crow_plugins.feed import tree as trees
from crow_plugins.feed.exchange import Announced, FeedClosed, FeedEvent, Forked
from crow_plugins.feed.head import EMPTY
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.tree import Tree
from crow_plugins.files import FileFault
from crow_plugins.identity.keys import KeyPair
from crow_plugins.replicator.feed_serving import Place
from crow_plugins.replicator.stock import Conversation

CONNECT_SECONDS = 10.0
OPEN_SECONDS = 10.0  # after that, the peer has no such feed


class MirrorError(CrowError):
    """A feed could not be copied to its end; what was verified stays in the file."""

    code = "mirror_error"


class NobodyThere(MirrorError):
    """No peer answers."""

    code = "nobody_there"

    def __init__(self, place: Place) -> None:
        super().__init__(f"nobody answers at {place.host} port {place.port}; start the peer, and try again")


class NoSuchFeed(MirrorError):
    """The peer does not have the feed."""

    code = "no_such_feed"

    def __init__(self) -> None:
        super().__init__("the peer does not give a feed with this key; compare the key with what the other side shows")


class CutOff(MirrorError):
    """The connection ended before the feed did."""

    code = "cut_off"

    def __init__(self, length: int) -> None:
        super().__init__(f"the connection ended; {length} blocks are in the file: run this again to go on")


class DoesNotFit(MirrorError):
    """The file holds something else than this feed."""

    code = "does_not_fit"

    def __init__(self) -> None:
        super().__init__("what the file holds is not the beginning of this feed; write to another file")


class NoMirror(MirrorError):
    """The file is no copy of a feed."""

    code = "no_mirror"

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} of the file is not the next block of a copy; write to another file")


class MirrorFile:
    """The lines of a copy; `length` of them are written. What the system refuses is a `FileFault`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.length = 0

    def read(self) -> list[bytes]:
        """The blocks that are there; a last line that was cut off does not count. Raises `NoMirror`."""
        with self._usable():
            self._path.parent.stat()  # what could not be kept is not asked for
            content = self._path.read_bytes() if self._path.exists() else b""
        lines = content.split(b"\n")[:-1]
        return [_block(seq, line) for seq, line in enumerate(lines)]

    def put(self, blocks: Sequence[bytes]) -> None:
        """All of these and nothing else, whole or not at all."""
        beside = self._path.with_name(f"{self._path.name}.new")
        with self._usable():
            beside.write_bytes(b"".join(_lines(0, blocks)))
            os.replace(beside, self._path)
        self.length = len(blocks)

    def add(self, blocks: Sequence[bytes]) -> None:
        with self._usable(), self._path.open("ab") as file:
            file.write(b"".join(_lines(self.length, blocks)))
        self.length += len(blocks)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileFault(self._path, error) from error


class Copy:
    """The feed in memory and in the file: where a session finds it, and keeps what it has checked."""

    def __init__(self, key: bytes, file: MirrorFile, blocks: Sequence[bytes]) -> None:
        self.only, self._file = Feed(key, _storage_of(blocks)), file
        self._begun = False  # the file is as it was found, until the peer has given something that fits
        file.length = len(blocks)

    def feed(self, key: bytes) -> Feed:
        return self.only

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)
        if batch.cut is not None and batch.cut < self._file.length:
            self._put(batch.cut)

    def write_on(self) -> bool:
        """Put into the file what is here without a gap; whether there was anything."""
        whole = self.only.storage.held().contiguous
        fresh = range(self._file.length, whole)
        if fresh and self._begun:
            self._file.add(self._blocks(fresh))
        elif fresh:
            self._put(whole)
        return bool(fresh)

    def end(self) -> None:
        """Make the file also of a feed that has nothing in it."""
        if not self._begun:
            self._put(self._file.length)

    def _put(self, length: int) -> None:
        self._begun = True
        self._file.put(self._blocks(range(length)))

    def _blocks(self, seqs: range) -> list[bytes]:
        held = self.only.storage.blocks(seqs)
        return [held[seq] for seq in seqs]


class Mirror:
    """Fetches one feed into one file."""

    def __init__(self, key: bytes, path: Path, told: Callable[[int, int], None]) -> None:
        """`told(length, whole)` hears how far it is, in blocks. Raises `NoMirror`."""
        self._key, self._file, self._told = key, MirrorFile(path), told
        blocks = self._file.read()[:-1]  # one is fetched again, and with it comes the signature over all
        self._copy = Copy(key, self._file, blocks)
        self._found = len(blocks)
        self._announced: int | None = None

    @property
    def length(self) -> int:
        return self._file.length

    async def run(self, place: Place, noise_key: KeyPair, *, follow: bool) -> None:
        """Until the feed is here as far as the peer has it; with `follow`, until cancelled. Raises a `MirrorError`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(place.host, place.port)
        except (OSError, TimeoutError) as error:
            raise NobodyThere(place) from error
        talking = Conversation(self._key, self._work, noise_key=noise_key, upload=False, dialled=True)
        try:
            async with asyncio.timeout(OPEN_SECONDS) as opening:

                def heard(events: list[FeedEvent]) -> None:
                    for event in events:
                        self._note(event)
                    if self._announced is not None:
                        opening.reschedule(None)
                    talking.ended = talking.ended or (self._is_whole() and not follow)

                await talking.run(reader, writer, heard)
        except TimeoutError as error:
            raise NoSuchFeed from error
        except RemoteProtocolError as error:
            if self._found and self.length == self._found:  # nothing of the peer's has fitted
                raise DoesNotFit from error
            raise
        if follow or not self._is_whole():
            raise NoSuchFeed if self._announced is None else CutOff(self.length)
        self._copy.end()

    def _work(self, session: Replication) -> list[FeedEvent]:
        events = session.work(self._copy)
        if self._copy.write_on():
            self._told(self.length, max(self.length, self._announced or 0))
        return events

    def _note(self, event: FeedEvent) -> None:
        match event:
            case Announced(length=length):
                self._announced = length
            case Forked():
                raise DoesNotFit
            case FeedClosed():
                raise NoSuchFeed
            case _:
                pass

    def _is_whole(self) -> bool:
        head = self._copy.only.head
        if self._announced is None or head.length < self._announced:
            return False
        return self.length == head.length and (head.length == 0 or bool(head.signature))


def _storage_of(blocks: Sequence[bytes]) -> MemoryStorage:
    """Blocks under the tree that they make; nobody has signed that one yet."""
    storage = MemoryStorage()
    if blocks:
        tree, nodes = trees.append(Tree(), blocks)
        head = Head(0, tree.length, tree.byte_length, tree.hash, b"")
        storage.store(Batch(EMPTY, dict(enumerate(blocks)), nodes, head))
    return storage


def _lines(start: int, blocks: Sequence[bytes]) -> Iterator[bytes]:
    for seq, block in enumerate(blocks, start):
        yield json.dumps({"seq": seq, **_said(block)}, ensure_ascii=False).encode() + b"\n"


def _said(block: bytes) -> dict[str, str]:
    try:
        return {"text": block.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(block).decode()}


def _block(seq: int, line: bytes) -> bytes:
    try:
        said = json.loads(line)
        if said["seq"] == seq:
            return str(said["text"]).encode() if "text" in said else base64.b64decode(said["base64"], validate=True)
    except (ValueError, KeyError, TypeError):
        pass
    raise NoMirror(seq + 1)

"""One feed in a database of its own, given or taken over TCP on loopback: the same two jobs as `bare.mjs`.

    python -m bench.feed_peer give COUNT BYTES     says {"key", "port"} once its feed of that many blocks is there
    python -m bench.feed_peer take PORT KEY COUNT  says {"seconds"} once it has them all, from the connection on
    python -m bench.feed_peer append COUNT BATCH BYTES   says {"seconds"} once that many blocks are appended, each
                                                         batch committed to the disk

Every block that is taken was verified, and committed with `synchronous=FULL`. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playhouse.apsw_ext import APSWDatabase

from crow_plugins.feed import Batch, Feed, Writer, created
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.identity.keys import KeyPair
from crow_plugins.replicator.feed_schema import MIGRATION
from crow_plugins.replicator.feed_storage import DatabaseStorage, ReadOnce, add_feed
from crow_plugins.replicator.stock import Conversation

BATCH = 1000
SIGNER, NOISE = KeyPair(b"\1" * 32), KeyPair(b"\2" * 32)
WRITER = Writer(SIGNER.public_key, SIGNER.sign)
PRAGMAS = {"journal_mode": "WAL", "synchronous": "FULL", "cache_size": -65_536}


class Kept:
    """The feed, and where a session finds it and keeps what came."""

    def __init__(self, db: APSWDatabase, feed: Feed) -> None:
        self._db, self.only = db, feed
        self._present = feed

    def feed(self, key: bytes) -> Feed:
        return self._present

    def store(self, feed: Feed, batch: Batch) -> None:
        feed.storage.store(batch)

    def work(self, session: Replication) -> list[FeedEvent]:
        if session.will_store:
            self._present = self.only
            with self._db.atomic():
                return session.work(self)
        with self._db.atomic("deferred"):
            storage = self.only.storage
            assert isinstance(storage, DatabaseStorage)
            self._present = Feed(self.only.key, ReadOnce(self._db, storage.feed))
            return session.work(self)

    def append(self, count: int, batch: int, size: int) -> None:
        for start in range(0, count, batch):
            many = range(start, min(count, start + batch))
            with self._db.atomic():
                self.only.storage.store(self.only.append([f"{seq} ".ljust(size, "x").encode() for seq in many], WRITER))


@contextmanager
def kept(key: bytes | None) -> Iterator[Kept]:
    """A feed of our own, or an empty copy."""
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        db = APSWDatabase(str(Path(folder) / "feed.db"), pragmas=PRAGMAS)
        with db.connection_context():
            for statement in filter(str.strip, MIGRATION.split(";\n")):
                db.execute_sql(statement)
            number = add_feed(db, key or b"\0" * 32, None, "bench")
            storage = DatabaseStorage(db, number)
            yield Kept(db, created(WRITER.public_key, storage) if key is None else Feed(key, storage))


async def give(count: int, size: int) -> None:
    with kept(None) as ours:
        ours.append(count, BATCH, size)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talking = Conversation(ours.only.key, ours.work, noise_key=NOISE, upload=True, dialled=False)
            await talking.run(reader, writer, lambda events: None)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        say({"key": ours.only.key.hex(), "port": server.sockets[0].getsockname()[1]})
        await asyncio.to_thread(sys.stdin.read)
        server.close()


async def take(port: int, key: str, count: int) -> None:
    with kept(bytes.fromhex(key)) as ours:
        storage = ours.only.storage
        assert isinstance(storage, DatabaseStorage)
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        talking = Conversation(ours.only.key, ours.work, noise_key=NOISE, upload=False, dialled=True)

        def heard(events: list[FeedEvent]) -> None:
            talking.ended = bool(events) and storage.contiguous() >= count

        await talking.run(reader, writer, heard)
        assert storage.contiguous() == count
        say({"seconds": time.perf_counter() - began})


def append(count: int, batch: int, size: int) -> None:
    with kept(None) as ours:
        began = time.perf_counter()
        ours.append(count, batch, size)
        say({"seconds": time.perf_counter() - began})


def say(line: object) -> None:
    print(json.dumps(line), flush=True)


def main(job: str, *arguments: str) -> None:
    if job == "give":
        asyncio.run(give(int(arguments[0]), int(arguments[1])))
    elif job == "take":
        asyncio.run(take(int(arguments[0]), arguments[1], int(arguments[2])))
    else:
        append(*map(int, arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])

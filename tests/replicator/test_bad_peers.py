"""Peers that lie, flood, hang, or do not read; and entries that no writer of ours makes: nobody else notices."""

from __future__ import annotations

import asyncio
import json
import socket
from asyncio import to_thread
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from crow_hooks import Change, Version
from crow_plugins.feed import Feed, answering, messages
from crow_plugins.feed.channels import Channel, Message
from crow_plugins.feed.hashing import discovery_key
from crow_plugins.feed.limits import ANSWER_BYTES_MAX
from crow_plugins.feed.messages import Request
from crow_plugins.feed.proof import BlockRequest, ProofRequest, UpgradeRequest
from crow_plugins.limits import ENTRY_BYTES_MAX, QUARANTINE_AFTER
from crow_plugins.outbound.urls import DEFAULT_ZONES, parse
from crow_plugins.replicator import link as linking
from crow_plugins.replicator.entry import written
from crow_plugins.replicator.feed_storage import DatabaseStorage, add_feed
from crow_plugins.replicator.inbox import Signal
from crow_plugins.replicator.link import Link
from crow_plugins.replicator.transport import Accepted, Dialled, dial
from tests.gateway_process import crow
from tests.plugins.directory import introduce
from tests.replicator.gateways import Instance, acquainted, until
from tests.replicator.test_chains import gateways

pytestmark = pytest.mark.anyio
WRITER = "{:08x}-0000-4000-8000-000000000000.0123456789ab"
ROW = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


# ---- entries that are signed, and wrong ---------------------------------------------------------


def entry(instance: Instance, lamport: int, **fields: Any) -> dict[str, Any]:
    """What its writer would make of a memory, altered."""
    data = {
        "content": "x",
        "category": "general",
        "importance": 5,
        "tags": [],
        "context": None,
        "source": None,
        "project_id": None,
        "origin_instance": instance.host.instance.id,
        "created_at": 1,
        "updated_at": 1,
    }
    version = Version(f"{instance.host.instance.id}.0123456789ab", lamport)
    change = Change("memory_insert", "memories", ROW, data, version, {}, (), 1, False, "assistant")
    return {**json.loads(written(change)), **fields}


def padded(fields: dict[str, Any], size: int) -> bytes:
    """As JSON of exactly that many bytes."""
    room = size - len(json.dumps(fields).encode())
    fields["data"]["content"] += "y" * room
    return json.dumps(fields).encode()


def append(instance: Instance, *blocks: bytes) -> None:
    """Sign and append what is no entry of ours."""
    with instance.host.transaction() as transaction:
        instance.sync.own.append(transaction.db, blocks)


async def test_an_entry_that_cannot_be_is_parked_with_its_reason_and_its_neighbours_are_applied(tmp_path: Path) -> None:
    """From grackle over swan to heron: passed on all the same."""
    async with gateways(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        bad: dict[str, bytes] = {
            "unknown_table": json.dumps(entry(grackle, 11, table="wonders")).encode(),
            "breaks_schema": json.dumps(entry(grackle, 12, type="memory_wonder")).encode(),
            "breaks_schema ": json.dumps(entry(grackle, 13, data={"content": "only", "wonder": 1})).encode(),
            "lamport_ahead ": json.dumps(entry(grackle, 2**53)).encode(),
            "lamport_ahead": json.dumps(entry(grackle, 2**53 - 1)).encode(),
            "newer_format": json.dumps(entry(grackle, 14, v=2)).encode(),
            "foreign_writer": json.dumps(entry(grackle, 15, instance_id=heron.host.instance.id)).encode(),
            "malformed": padded(entry(grackle, 16), 300 * 1024),
            "malformed ": b"no JSON at all",
        }
        await grackle.remember("before")
        await to_thread(append, grackle, *bad.values())
        await grackle.remember("after")
        await acquainted(grackle, swan, heron, reachable=False)
        await introduced_in_a_line(grackle, swan, heron)
        for each in (swan, heron):
            await each.holds("after", "before")
            troubles = {trouble.seq: trouble.reason for trouble in await to_thread(each.sync.troubles)}
            assert troubles == {seq: reason.strip() for seq, reason in enumerate(bad, 1)}
            assert await to_thread(each.sync.is_caught_up)
        assert await to_thread(lamport, heron) < 100


async def introduced_in_a_line(*instances: Instance) -> None:
    for one, other in pairwise(instances):
        await to_thread(introduce, one.host, other.host, other.url)


def lamport(instance: Instance) -> int:
    with instance.host.read() as db:
        return int(db.execute_sql("SELECT lamport FROM clock").fetchone()[0])


async def test_an_entry_of_the_largest_size_is_applied_and_one_byte_more_is_parked(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await to_thread(append, grackle, padded_with_writers(entry(grackle, 1), ENTRY_BYTES_MAX))
        await to_thread(append, grackle, padded_with_writers(entry(grackle, 2), ENTRY_BYTES_MAX + 1))
        await acquainted(grackle, swan)
        await until(lambda: len(swan.contents()) == 1 and swan.sync.is_caught_up())
        [trouble] = await to_thread(swan.sync.troubles)
        assert (trouble.seq, trouble.reason) == (1, "malformed")


def padded_with_writers(fields: dict[str, Any], size: int) -> bytes:
    """A text of the longest, and what else it takes in versions that the author knew of."""
    fields = {**fields, "lamport": 100 + fields["lamport"]}
    fields["data"]["content"] = "y" * 60_000
    room = (size - len(_bytes(fields))) // len(_bytes({WRITER.format(0): 1}))
    fields["vv"] = {WRITER.format(number): 1 for number in range(room)}
    return _bytes(fields) + b" " * (size - len(_bytes(fields)))


def _bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


# ---- peers that lie -----------------------------------------------------------------------------


def tamper(home: Path, seq: int, old: str, new: str) -> None:
    """Change a block where it lies, so that its proof is one no more."""
    database = apsw.Connection(str(home / "crow.db"))
    database.execute("PRAGMA busy_timeout = 10000")
    database.execute(
        "UPDATE feed_blocks SET value = CAST(replace(CAST(value AS TEXT), ?, ?) AS BLOB) WHERE id % (1 << 40) = ?",
        (old, new, seq),
    )
    database.close()


async def test_a_tampered_entry_is_refused_and_a_peer_that_sends_five_is_shut_out(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        await swan.remember("good", "true", "good again")
        await to_thread(tamper, swan.home, 1, "true", "fake")
        await acquainted(grackle, swan, heron)
        await heron.remember("from heron")
        await until(lambda: "from heron" in grackle.contents())
        await until(lambda: shut_out(grackle) == [swan.host.instance.id])
        await until(lambda: swan.host.instance.id not in grackle.sync.connected())
        assert "fake" not in await to_thread(grackle.contents)
        refused = [each for each in await to_thread(grackle.sync.troubles) if each.kind == "rejected"]
        assert len(refused) == QUARANTINE_AFTER
        assert {each.instance_id for each in refused} == {swan.host.instance.id}
        assert heron.host.instance.id in grackle.sync.connected()
        await to_thread(tamper, swan.home, 1, "fake", "true")
        let_in = await to_thread(crow, grackle.home, "sync", "now", "--wait", "0")
        assert let_in.returncode == 0, let_in.stderr
        await grackle.holds("from heron", "good", "good again", "true")


def shut_out(instance: Instance) -> list[str]:
    with instance.host.read() as db:
        return [row[0] for row in db.execute_sql("SELECT peer_id FROM quarantine").fetchall()]


async def test_a_shorter_copy_is_not_asked_for_what_only_the_longer_one_can_prove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heron was cut off when it had grackle's head and no block; of the first 255 swan has a tree without that root."""
    monkeypatch.setattr(answering, "INVALID_REQUESTS_MAX", 0)  # not one may be
    async with gateways(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        await to_thread(append, grackle, *(json.dumps(entry(grackle, 1 + number)).encode() for number in range(255)))
        await acquainted(grackle, swan, heron, reachable=False)
        await introduced_in_a_line(grackle, swan)
        await until(lambda: applied(swan, grackle) == 255)
        await grackle.apart()
        await to_thread(append, grackle, json.dumps(entry(grackle, 256)).encode())
        await to_thread(take_head, heron, grackle)
        await introduced_in_a_line(heron, swan)
        await heron.remember("from heron")
        await swan.holds("from heron", "x")
        await until(lambda: not any(link.session.is_behind for link in heron.sync._connections.all()))
        await grackle.together()
        await heron.holds("from heron", "x")
        await until(lambda: applied(heron, grackle) == applied(swan, grackle) == 256)
        for each in (swan, heron):
            assert [trouble for trouble in await to_thread(each.sync.troubles) if trouble.kind == "rejected"] == []


def take_head(to: Instance, writer: Instance) -> None:
    """Give an instance the signed head of another one's feed, and no block."""
    own = writer.sync.own
    with writer.host.read() as db:
        feed = own.held(db)
        assert feed is not None
        proof = feed.prove(ProofRequest(upgrade=UpgradeRequest(0, feed.head.length), manifest=True))
    with to.host.transaction() as transaction:
        number = add_feed(transaction.db, own.key, own.manifest, own.instance_id)
        copy = Feed(own.key, DatabaseStorage(transaction.db, number), own.manifest)
        copy.storage.store(copy.receive(proof))


# ---- peers that are a burden --------------------------------------------------------------------


class Held:
    """A stream that can be held: then nothing is read of it, or nothing is sent either; or it is read slowly."""

    def __init__(self, stream: Dialled) -> None:
        self._stream = stream
        self.pause_seconds, self.received = 0.0, 0
        self.reads, self.sends = asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.sends.set()

    async def receive(self) -> bytes:
        await self.reads.wait()
        await asyncio.sleep(self.pause_seconds)
        data = await self._stream.receive()
        self.received += len(data)
        return data

    async def send(self, data: bytes) -> None:
        await self.sends.wait()
        await self._stream.send(data)

    async def close(self) -> None:
        await self._stream.close()

    def little_room(self) -> None:
        """Have the system keep little of what came, so that what is on its way is with who sends it."""
        opened = self._stream._connection.transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)


@asynccontextmanager
async def by_hand(one: Instance, other: Instance) -> AsyncIterator[tuple[Link, Held]]:
    """A connection that `one` opened and the test has in its hands."""
    stream = Held(await dial(parse(other.url), DEFAULT_ZONES))
    link = Link(stream, one.sync, dialled=True)
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: link.peer is not None and one.host.instance.id in other.sync.connected())
        yield link, stream
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def say(link: Link, asked: Sequence[Request], key: bytes) -> None:
    """Ask for blocks of a feed, in the next turn of the link, which has its session for itself then."""
    channel = Channel(messages.PROTOCOL, discovery_key(key))
    said, work = [Message(channel, *messages.encode(each)) for each in asked], link._work

    def say_first(*, grown: bool = False) -> bytes:
        link.session.say(*said)
        said.clear()
        return work(grown=grown)

    link._work = say_first  # type: ignore[method-assign]
    link.signal(Signal.FEEDS_GREW)


@asynccontextmanager
async def beside_heron(folder: Path) -> AsyncIterator[tuple[Instance, Instance, Instance]]:
    """Grackle, which heron dials and swan does not."""
    async with gateways(folder, "grackle", "swan", "heron") as [grackle, swan, heron]:
        await acquainted(grackle, swan, heron, reachable=False)
        await introduced_in_a_line(heron, grackle)
        await until(lambda: heron.host.instance.id in grackle.sync.connected())
        yield grackle, swan, heron


async def left(grackle: Instance, swan: Instance, heron: Instance) -> None:
    """Grackle gives swan up, and heron has not noticed."""
    await until(lambda: swan.host.instance.id not in grackle.sync.connected())
    assert heron.host.instance.id in grackle.sync.connected()
    await heron.remember("still here")
    await until(lambda: "still here" in grackle.contents())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(linking, "KEEP_ALIVE_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_hangs_is_left_and_nobody_else_notices(tmp_path: Path) -> None:
    async with beside_heron(tmp_path) as (grackle, swan, heron), by_hand(swan, grackle) as (_, stream):
        stream.reads.clear()
        stream.sends.clear()
        await left(grackle, swan, heron)


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_asks_and_does_not_read_is_left_and_costs_little(tmp_path: Path) -> None:
    async with beside_heron(tmp_path) as (grackle, swan, heron):
        for start in range(0, 400, 100):
            await to_thread(append, grackle, *(padded(entry(grackle, 1 + start), 100 * 1024) for _ in range(100)))
        async with by_hand(swan, grackle) as (_, stream):
            stream.reads.clear()
            await left(grackle, swan, heron)


class Handed:
    """How many bytes the side that accepts has made for its peers and has not seen taken, at the most."""

    def __init__(self, patch: pytest.MonkeyPatch, stream: Held) -> None:
        send, self.bytes, self.most = Accepted.send, 0, 0
        before = stream.received

        async def counted(accepted: Accepted, data: bytes) -> None:
            self.bytes += len(data)
            self.most = max(self.most, self.bytes - (stream.received - before))
            await send(accepted, data)

        patch.setattr(Accepted, "send", counted)


async def test_a_peer_that_asks_for_everything_and_reads_slowly_costs_a_few_answers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200 MB that it asks for a peer takes 14, in small bites: no more than it takes is read from the database."""
    size, wanted, taken = 100 * 1024, 2000, 14 << 20
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan, reachable=False)
        await to_thread(append, grackle, *(padded(entry(grackle, 1 + number), size) for number in range(40)))
        async with by_hand(swan, grackle) as (link, stream):
            await until(lambda: applied(swan, grackle) == 40)  # what follows is asked for by hand alone
            stream.little_room()
            stream.pause_seconds, handed, begun = 0.005, Handed(monkeypatch, stream), stream.received
            asked = [
                Request(10_000 + number, 0, ProofRequest(block=BlockRequest(number % 40, 0)))
                for number in range(wanted)
            ]
            say(link, asked, grackle.sync.own.key)
            await until(lambda: stream.received - begun > taken)
            most = handed.most
            assert swan.host.instance.id in grackle.sync.connected()
        print(f"{most / 2**20:.1f} MiB at the most")
        assert ANSWER_BYTES_MAX < most < 12 << 20 < taken < wanted * size


async def test_a_peer_that_floods_is_left_and_nobody_else_notices(tmp_path: Path) -> None:
    async with beside_heron(tmp_path) as (grackle, swan, heron):
        await grackle.remember("something to ask for")
        async with by_hand(swan, grackle) as (link, _):
            await until(lambda: grackle.sync.own.key in link.session.keys)
            asked = [Request(number, 0, ProofRequest(block=BlockRequest(0, 0))) for number in range(1000, 7000)]
            say(link, asked, grackle.sync.own.key)
            await left(grackle, swan, heron)


async def test_a_stranger_that_floods_is_left_before_it_has_cost_anything(tmp_path: Path) -> None:
    async with beside_heron(tmp_path) as (grackle, swan, heron):
        stream = await dial(parse(grackle.url), DEFAULT_ZONES)
        await stream.send(b"\xff" * 2**23)
        async with asyncio.timeout(20):
            while await stream.receive():
                pass
        await stream.close()
        await left(grackle, swan, heron)


async def test_two_that_send_each_other_much_at_once_both_get_it(tmp_path: Path) -> None:
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        for each in (grackle, swan):
            blocks = [padded(entry(each, 1 + number), 100 * 1024) for number in range(200)]
            await to_thread(append, each, *blocks)
        await acquainted(grackle, swan)
        for each, other in ((grackle, swan), (swan, grackle)):
            await until(lambda each=each, other=other: applied(each, other) == 200)  # type: ignore[misc]


def applied(instance: Instance, of: Instance) -> int:
    with instance.host.read() as db:
        row = db.execute_sql("SELECT last_seq FROM sync_state WHERE instance_id = ?", (of.host.instance.id,)).fetchone()
    return int(row[0]) if row else 0

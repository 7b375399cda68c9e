"""The database keeps a feed as memory does: whatever is done to both, both answer the same."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playhouse.apsw_ext import APSWDatabase

from crow_plugins.feed import Batch, Feed, Head, MemoryStorage, Node, Storage, created
from crow_plugins.feed.errors import WrongState
from crow_plugins.replicator.feed_schema import MIGRATION
from crow_plugins.replicator.feed_storage import DatabaseStorage, ReadOnce, add_feed
from tests.feed import making


@contextlib.contextmanager
def database() -> Iterator[APSWDatabase]:
    db = APSWDatabase(":memory:")
    with db.connection_context():
        for statement in filter(str.strip, MIGRATION.split(";\n")):
            db.execute_sql(statement)
        yield db


@pytest.fixture
def db() -> Iterator[APSWDatabase]:
    with database() as opened:
        yield opened


def place(db: APSWDatabase, key: bytes = b"k" * 32) -> DatabaseStorage:
    return DatabaseStorage(db, add_feed(db, key, None, "grackle"))


def read_once(feed: Feed) -> ReadOnce:
    """What a new reader sees; it is asked twice, since it keeps its first answers."""
    storage = feed.storage
    assert isinstance(storage, DatabaseStorage)
    taken = ReadOnce(storage._db, storage.feed)
    assert told(taken) == told(taken)
    return taken


def told(storage: Storage) -> dict[str, Any]:
    """All that a storage says."""
    held = storage.held()
    return {
        "head": storage.head(),
        "manifest": storage.manifest(),
        "nodes": dict(storage.nodes(range(200))),
        "blocks": dict(storage.blocks(range(100))),
        "some": dict(storage.blocks([3, 1, 70])),
        "held": [seq for seq in range(100) if seq in held],
        "contiguous": held.contiguous,
    }


@pytest.mark.parametrize("seed", range(8))
def test_a_writers_feed_is_the_same_in_both(db: APSWDatabase, seed: int) -> None:
    chosen, feeds = random.Random(seed), [made(MemoryStorage()), made(place(db))]
    for _ in range(12):
        length, fork = feeds[0].head.length, feeds[0].head.fork
        more, cut = chosen.randint(1, 9), chosen.randint(0, length)
        for feed in feeds:
            if more < 7 or not length:
                making.append(feed, making.blocks(more, length))
            else:
                making.truncate(feed, cut, fork + 1)
        assert told(feeds[0].storage) == told(feeds[1].storage) == told(read_once(feeds[1]))


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_with_gaps_is_the_same_in_both(db: APSWDatabase, seed: int) -> None:
    source, chosen = making.written(making.blocks(60)), random.Random(seed)
    copies = [Feed(source.key, storage, source.encoded_manifest) for storage in (MemoryStorage(), place(db))]
    wanted = chosen.sample(range(60), 60)
    for copy in copies:
        making.upgrade(source, copy)
    for start in range(0, 60, 7):
        for copy in copies:
            proofs = source.prove_blocks(making.planned(copy, sorted(wanted[start : start + 7])))
            copy.storage.store(copy.receive_blocks(0, proofs).batch)
        assert told(copies[0].storage) == told(copies[1].storage) == told(read_once(copies[1]))


def test_a_batch_for_another_head_leaves_nothing_behind(db: APSWDatabase) -> None:
    storage = place(db)
    before = told(storage)
    head = Head(0, 5, 9, b"\1" * 32, b"signed")
    with pytest.raises(WrongState):
        storage.store(Batch(head, {0: b"abc"}, [Node(0, 3, b"\2" * 32)], head))
    assert told(storage) == before


def test_a_transaction_that_rolls_back_takes_the_feed_with_it(db: APSWDatabase) -> None:
    feed = made(place(db))
    making.append(feed, making.blocks(5))
    before = told(feed.storage)
    with db.atomic() as transaction:
        making.append(feed, making.blocks(5))
        transaction.rollback()
    assert told(feed.storage) == before
    making.append(feed, making.blocks(3))
    feed.check()


def test_feeds_in_one_database_do_not_touch_each_other(db: APSWDatabase) -> None:
    one, other = made(place(db)), made(place(db, b"o" * 32))
    making.append(one, making.blocks(20))
    making.append(other, making.blocks(9))
    before = told(other.storage)
    making.truncate(one, 3, 1)
    assert told(other.storage) == before


def made(storage: Storage) -> Feed:
    return created(making.writer().public_key, storage)

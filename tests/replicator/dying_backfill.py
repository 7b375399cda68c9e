"""Kills processes that append what was written while the replicator was off, and says what was wrong afterwards.

    python -m tests.replicator.dying_backfill FOLDER SEED

It forks for each kill; the parent has no connection open meanwhile. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crow_plugins.keyring import Keyring
from crow_plugins.replicator import backfill
from crow_plugins.replicator.entry import read
from crow_plugins.replicator.feed_storage import DatabaseStorage
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction
from tests.replicator.chain import Machine, carry, introduce, machine, reopen
from tests.replicator.dying import _die_in as die_in

POINTS: list[tuple[type, str]] = [
    (DatabaseStorage, "_put"),
    (OwnFeed, "append"),
    (WriteTransaction, "finish"),
    (WriteTransaction, "committed"),
]
AT_THE_END = (OwnFeed, "reached")
ROWS, BATCH = 60, 5


def row(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def write_unheard(one: Machine, numbers: range) -> None:
    """The replicator is off: rows are written, overwritten and deleted, and nothing becomes an entry."""
    stage, one.listener.on_write = one.listener.on_write, lambda change, transaction: None
    for number in numbers:
        one.write(f"first {number}", row(number))
    for number in numbers[::3]:
        one.write(f"again {number}", row(number))
    for number in numbers[1::5]:
        one.delete(row(number))
    one.listener.on_write = stage


def killed(home: Path, keyring: Keyring, point: tuple[type, str], after: int) -> bool:
    """Run it in a process that dies on the way; whether it did."""
    child = os.fork()
    if child == 0:
        backfill.BATCH_ROWS = BATCH
        die_in(*point, after=after)
        one = reopen(home, keyring)
        backfill.run(one.store, one.own)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def wrong(one: Machine) -> Iterator[str]:
    """Whatever is in the feed is there once, in order, and has its place in the index."""
    dots = [read(block).entry.version for block in one.blocks()]
    if len(set(dots)) != len(dots):
        yield "twice: two blocks have one name"
    if one.rows("SELECT count(*) FROM feed_entries") != [(len(dots),)]:
        yield "the index has other entries than the feed"


def main(folder: Path, seed: int) -> dict[str, Any]:
    chance, kills, faults = random.Random(seed), 0, list[str]()
    one, other = machine(folder, "grackle", 1), machine(folder, "swan", 2)
    introduce(one, other)
    one.write("heard", row(ROWS))
    write_unheard(one, range(ROWS))
    home, keyring = one.store.path.parent, one.keyring
    for number, point in enumerate([*POINTS * 3, AT_THE_END]):
        one.store.close()
        other.store.close()
        kills += killed(home, keyring, point, 1 if point is AT_THE_END else chance.randint(1, 2))
        one, other = reopen(home, keyring), reopen(other.store.path.parent, other.keyring)
        introduce(one, other)
        faults += [f"kill {number} {point[1]}: {fault}" for fault in wrong(one)]
        if number % 3 == 0:  # somebody writes before it goes on, with the replicator on
            one.write(f"between {number}", row(number))
    backfill.run(one.store, one.own)
    faults += wrong(one)
    carry(one, other)
    if one.things() != other.things():
        faults.append("in the end they differ: something is missing")
    entries = len(one.blocks())
    if backfill.run(one.store, one.own) or len(one.blocks()) != entries:
        faults.append("it does not come to an end")
    one.store.close()
    other.store.close()
    return {"kills": kills, "entries": entries, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))

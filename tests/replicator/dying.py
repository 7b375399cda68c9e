"""Kills processes that write and apply, at named points and at random, and says what was wrong afterwards.

    python -m tests.replicator.dying FOLDER KILLS SEED

It forks for each kill, since starting Python two hundred times would take minutes. The parent has no connection open
while it forks. What a child acknowledged comes through a pipe, after the commit. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crow_plugins.keyring import Keyring
from crow_plugins.replicator.appending import Appending
from crow_plugins.replicator.applying import Applying
from crow_plugins.replicator.entry import read
from crow_plugins.replicator.feed_storage import DatabaseStorage
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.store import WriteTransaction
from crow_plugins.store.clock import Clock
from tests.replicator.chain import Machine, carry, introduce, machine, reopen

WRITING: dict[str, tuple[type, str]] = {
    "after the row": (WriteTransaction, "record"),
    "after its version": (WriteTransaction, "_keep"),
    "after staging": (Appending, "stage"),
    "after the blocks": (DatabaseStorage, "_put"),
    "after the head": (DatabaseStorage, "_advance"),
    "after appending": (OwnFeed, "append"),
    "after the clock": (Clock, "save"),
    "before the commit": (WriteTransaction, "finish"),
    "after the commit": (WriteTransaction, "committed"),
}
APPLYING: dict[str, tuple[type, str]] = {
    "after blocks were stored": (DatabaseStorage, "store"),
    "after entries were joined": (Applying, "apply"),
    "after the cursor moved": (Intake, "_move"),
    "after what was taken in": (Intake, "take"),
    "before the commit of it": (WriteTransaction, "finish"),
    "after the commit of it": (WriteTransaction, "committed"),
}
AT_RANDOM = "at random"
SECONDS_MAX = 0.03
ROWS = 40


class Campaign:
    """One machine that writes and one that applies, killed again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        made = [machine(folder, name, number) for number, name in enumerate(("grackle", "swan"), 1)]
        introduce(*made)
        self.homes: list[tuple[Path, Keyring]] = [(one.store.path.parent, one.keyring) for one in made]
        for one in made:
            one.store.close()
        self.acknowledged: dict[str, int] = {}
        self.written = 0
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, kills: int) -> None:
        points = [*WRITING, AT_RANDOM, *APPLYING, AT_RANDOM]
        for number in range(kills):
            point = points[number % len(points)]
            writes = number % len(points) <= len(WRITING)
            self.kill(point, writes)
            self.check(f"kill {number} {point}")

    def kill(self, point: str, writes: bool) -> None:
        self.random.random()  # so that no two children draw the same
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._live(point, writes, writing)
            os._exit(0)
        os.close(writing)
        if point == AT_RANDOM:
            time.sleep(self.random.uniform(0, SECONDS_MAX))
            os.kill(child, signal.SIGKILL)
        with os.fdopen(reading) as said:
            for line in said:
                if line.endswith("\n"):
                    self.acknowledged[line.split()[0]] = int(line.split()[1])
        _, status = os.waitpid(child, 0)
        self.kills[point] += os.WIFSIGNALED(status)
        self.written += 2000

    def _live(self, point: str, writes: bool, acknowledge: int) -> None:
        """The child: it works until it dies."""
        if not writes:
            self._write(12, acknowledge)
        if point != AT_RANDOM:
            _die_in(*(WRITING if writes else APPLYING)[point], after=self.random.randint(1, 3))
        if writes:
            self._write(1000, acknowledge)
        else:
            grackle, swan = self._opened()
            for _ in range(4):
                carry(grackle, swan, blocks_max=self.random.randint(1, 6))

    def _write(self, count: int, acknowledge: int) -> None:
        grackle, swan = self._opened()
        for number in range(self.written, self.written + count):
            row_id = f"{self.random.randrange(ROWS):08d}-0000-4000-8000-000000000000"
            grackle.write(f"text {number}", row_id)
            os.write(acknowledge, f"{row_id} {number}\n".encode())
        grackle.store.close()
        swan.store.close()

    def check(self, when: str) -> None:
        grackle, swan = self._opened()
        for fault in (*self._wrong(grackle), *_half_applied(swan, grackle)):
            self.faults.append(f"{when}: {fault}")
        grackle.store.close()
        swan.store.close()

    def finish(self) -> None:
        """What was killed goes on, and a newcomer checks every signature and hash from block 0."""
        grackle, swan = self._opened()
        newcomer = machine(self.homes[0][0].parent, "heron", 3)
        introduce(grackle, swan, newcomer)
        for other in (swan, newcomer):
            carry(grackle, other)
            if other.things() != grackle.things() or other.blocks(grackle) != grackle.blocks():
                self.faults.append("in the end: they differ")
        if grackle.rows("PRAGMA integrity_check") != [("ok",)]:
            self.faults.append("in the end: the database is damaged")

    def _opened(self) -> tuple[Machine, Machine]:
        grackle, swan = (reopen(folder, keyring) for folder, keyring in self.homes)
        swan.known[grackle.id] = grackle.own.feed_key
        for one in (grackle, swan):
            writer = one.store._connections.writer
            with writer.connection_context():
                writer.execute_sql("PRAGMA synchronous = OFF")  # a process that dies leaves the disk alone
        return grackle, swan

    def _wrong(self, one: Machine) -> Iterator[str]:
        """Rows, versions, feed, index, clock and mark of the writer must agree."""
        texts = {str(row_id): int(str(text).split()[1]) for row_id, text in one.rows("SELECT id, text FROM things")}
        for row_id, number in self.acknowledged.items():
            if texts.get(row_id, -1) < number:
                yield f"lost: {row_id} has {texts.get(row_id)}, and {number} was acknowledged"
        dots = [read(block).entry.version for block in one.blocks()]
        if len(set(dots)) != len(dots):
            yield "twice: two blocks have one name"
        [[last]] = one.rows("SELECT coalesce(max(lamport_ts), 0) FROM things")
        if (dots[-1].lamport if dots else 0) != last:
            yield f"the newest row has {last}, the feed ends with {dots[-1:]}"
        [[lamport]] = one.rows("SELECT coalesce(max(lamport), 0) FROM clock")
        [[mark]] = one.rows("SELECT coalesce(max(entered), 0) FROM clock")
        if not lamport == mark == last:
            yield f"clock {lamport}, mark {mark}, newest row {last}"
        if one.rows("SELECT count(*) FROM feed_entries") != [(len(dots),)]:
            yield "the index has other entries than the feed"


def _half_applied(one: Machine, author: Machine) -> Iterator[str]:
    """What lies below the cursor is applied, and nothing else is."""
    [[cursor]] = one.rows("SELECT coalesce(max(last_seq), 0) FROM sync_state") or [(0,)]
    blocks = one.blocks(author)
    if len(blocks) < int(str(cursor)):
        yield f"the cursor is at {cursor}, and {len(blocks)} blocks are here"
    newest: dict[str, int] = {}
    for block in blocks[: int(str(cursor))]:
        entry = read(block).entry
        newest[entry.row_id] = entry.version.lamport
    if dict(one.rows("SELECT id, lamport_ts FROM things")) != newest:  # type: ignore[arg-type]
        yield "the rows are not what the entries below the cursor make"


def _die_in(owner: type, name: str, *, after: int) -> None:
    """Have this process killed when a method has returned so many times."""
    method: Callable[..., Any] = getattr(owner, name)
    left = after

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal left
        returned = method(*args, **options)
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return returned

    setattr(owner, name, dying)


def main(folder: Path, kills: int, seed: int) -> None:
    campaign = Campaign(folder, seed)
    campaign.run(kills)
    campaign.finish()
    done = {"kills": campaign.kills, "acknowledged": len(campaign.acknowledged), "faults": campaign.faults}
    print(json.dumps(done))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Revoking an instance: the statement that ends trust in it, and what of its feed still counts by that statement.

What counts is what is held here of its feed, so that nothing which this machine shows is lost by it; what only other
instances have got meanwhile vanishes there. With a time, what the instance wrote from then on counts no more, here as
well: its entries say when that was, and whoever has the machine can make them say otherwise. The feeds are the
replicator's: where it was never on, none is held, and nothing of the instance counts. Whoever holds the seed revokes;
that a machine was revoked itself is shown here too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import peewee

from crow_hooks import Check, Crow, CrowError, Finding, InstanceRegistry, Job, KnownInstance
from crow_plugins.feed import flat_tree
from crow_plugins.feed.hashing import EMPTY_TREE_HASH, Node, tree_hash
from crow_plugins.identity import certificate, revocation
from crow_plugins.identity.keys import KeyPair
from crow_plugins.identity.revocation import Branch, Revocation, Statement

log = logging.getLogger(__name__)

NOTHING = Branch(0, 0, EMPTY_TREE_HASH)
LOOK_SECONDS = 60.0
FEED_SHIFT = 40  # a feed's number stands above its seqs and indexes


class RevokesItself(CrowError):
    """An instance was asked to revoke itself."""

    code = "revokes_itself"

    def __init__(self) -> None:
        super().__init__("an instance cannot revoke itself; do it on another machine that holds the master seed")


class NotConfirmed(CrowError):
    """Nobody said that it should be done."""

    code = "not_confirmed"

    def __init__(self) -> None:
        super().__init__("nothing was revoked; a revocation cannot be taken back, so confirm it with --yes")


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a revocation would leave: the branch that counts, and what is not in it.

    `elsewhere` counts entries that are signed and not here; `rows` those that entries held here touched past the
    branch, by table: they are made anew from what others wrote.
    """

    branch: Branch
    upto: dict[str, int]
    elsewhere: int = 0
    rows: tuple[tuple[str, int], ...] = ()


def foresee(db: peewee.Database, instance_id: str, since: int | None = None) -> Foreseen:
    """What is held here of an instance's feed, up to the first entry of `since` (unix seconds) or later."""
    feed = _feed(db, instance_id)
    if feed is None:
        return Foreseen(NOTHING, _upto(db, instance_id) if since is None else {})
    number, fork, length, held = feed
    end = held if since is None else _first_since(db, number, held, since)
    branch = Branch(fork, end, _tree_hash(db, number, end)) if end else NOTHING
    upto = _upto(db, instance_id) if end == held else _upto_in(db, instance_id, number, end)
    return Foreseen(branch, upto, length - held, _rows_past(db, number, end))


def _feed(db: peewee.Database, instance_id: str) -> tuple[int, int, int, int] | None:
    """Number, fork, length and blocks held of an instance's feed."""
    if not _has(db, "feeds"):
        return None
    row = db.execute_sql(
        "SELECT number, fork, length, min(length, contiguous) FROM feeds WHERE instance_id = ? "
        "ORDER BY fork DESC, length DESC LIMIT 1",
        (instance_id,),
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _first_since(db: peewee.Database, number: int, held: int, since: int) -> int:
    """The seq of the first block that says it was written at that time or later; `held` when there is none."""
    start = number << FEED_SHIFT
    found = db.execute_sql(
        "SELECT min(id) FROM feed_blocks WHERE id >= ? AND id < ? "
        "AND json_valid(value) AND value ->> '$.timestamp' >= ?",
        (start, start + held, since),
    ).fetchone()
    return held if found[0] is None else int(found[0]) - start


def _rows_past(db: peewee.Database, number: int, end: int) -> tuple[tuple[str, int], ...]:
    """How many rows of each table were touched by entries at `end` or later."""
    found = db.execute_sql(
        "SELECT table_name, count(DISTINCT row_id) FROM feed_entries WHERE feed = ? AND seq >= ? "
        "GROUP BY table_name ORDER BY table_name",
        (number, end),
    ).fetchall()
    return tuple((str(table), int(count)) for table, count in found)


def statement(foreseen: Foreseen, known: KnownInstance, chain: KeyPair, now: int) -> Statement:
    """The revocation of an instance, signed by the chain. Raises as `revocation.issue`."""
    shown = certificate.read(known.certificate, chain.public_key)
    revoked = Revocation(
        chain=chain.public_key,
        instance_id=known.instance.id,
        serial=shown.serial,
        feed=foreseen.branch,
        upto=foreseen.upto,
        issued_at=now,
    )
    return revocation.issue(revoked, chain)


def own_revocation(registry: InstanceRegistry, chain: bytes, own_id: str) -> Revocation | None:
    """The revocation of this very machine, if one was heard of."""
    statements = [revocation.read(signed, chain) for signed in registry.credentials().revocations]
    return revocation.effective(statements).get(own_id)


def told(own: Revocation) -> str:
    """What a revoked machine says of itself."""
    day = datetime.fromtimestamp(own.issued_at, UTC).date()
    return f"this machine was revoked on {day}: the other instances trust it no more and sync nothing with it"


REMEDY = "if that was a mistake, save what only this machine has with crow export, then join again in an empty home"


def revocation_checks(crow: Crow, registry: InstanceRegistry, chain: bytes) -> Sequence[Check]:
    """The line of `crow doctor` by which a machine shows that it was revoked."""

    def run() -> Finding:
        own = own_revocation(registry, chain, crow.instance.id)
        return Finding(True, "the chain trusts this machine") if own is None else Finding(False, told(own), REMEDY)

    return [Check("trust", run)]


def revocation_jobs(crow: Crow, registry: InstanceRegistry, chain: bytes) -> Sequence[Job]:
    """The line of the log by which it does, once a run of the gateway."""
    said: list[Revocation] = []

    async def look() -> None:
        own = own_revocation(registry, chain, crow.instance.id)
        if own is not None and not said:
            said.append(own)
            log.error("%s; %s", told(own), REMEDY)

    return [Job("own trust", look, every_seconds=LOOK_SECONDS)]


def _upto(db: peewee.Database, instance_id: str) -> dict[str, int]:
    """The last lamport held here of each epoch that an instance wrote in."""
    if not _has(db, "writers"):
        return {}
    rows = db.execute_sql(
        "SELECT substr(name, ?), lamport FROM writer_reach WHERE substr(name, 1, ?) = ? AND lamport > 0",
        (len(instance_id) + 2, len(instance_id) + 1, f"{instance_id}."),
    ).fetchall()
    return {str(epoch): int(lamport) for epoch, lamport in rows}


def _upto_in(db: peewee.Database, instance_id: str, number: int, end: int) -> dict[str, int]:
    """The same for the first blocks of its feed alone."""
    rows = db.execute_sql(
        "SELECT substr(name, ?), max(feed_entries.lamport) FROM feed_entries "
        "JOIN writers ON writers.number = feed_entries.writer "
        "WHERE feed = ? AND seq < ? AND substr(name, 1, ?) = ? GROUP BY name",
        (len(instance_id) + 2, number, end, len(instance_id) + 1, f"{instance_id}."),
    ).fetchall()
    return {str(epoch): int(lamport) for epoch, lamport in rows}


def _tree_hash(db: peewee.Database, number: int, length: int) -> bytes:
    """The hash of the tree over the first blocks of a feed, all of which are here."""
    return tree_hash(_node(db, number, index) for index in flat_tree.roots(length))


def _node(db: peewee.Database, number: int, index: int) -> Node:
    table, place = ("feed_nodes", index) if index % 2 else ("feed_blocks", index // 2)
    row = db.execute_sql(
        f"SELECT size, hash FROM {table} WHERE id = ?",  # one of two names of ours
        ((number << FEED_SHIFT) + place,),
    ).fetchone()
    return Node(index, row[0], bytes(row[1]))


def _has(db: peewee.Database, table: str) -> bool:
    return db.execute_sql("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is not None

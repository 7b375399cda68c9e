"""Feeds of which two branches are known under one fork: what follows their common beginning is disputed.

Nobody can say which branch is the feed, so a disputed block counts as standing in no feed: whoever holds one rescues
it, and of one name for two writes its place says nothing. That holds for everybody alike, for whoever knows of the two
branches has their signed heads, and puts these into its own feed before anything that it rescues. A higher fork ends
it, and so does the writer's revocation, which names the branch that counts.

The heads show a common beginning by the roots of their trees that agree. Most often it is longer than that; then some
blocks are rescued that need not be.
"""

from __future__ import annotations

from dataclasses import dataclass

import peewee

from crow_plugins.feed import Conflict, Proof, conflict, messages
from crow_plugins.feed.errors import BadProof
from crow_plugins.feed.manifest import authority, default, encode
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.entry import Heads

_DATA, _ = messages.encode(messages.Data(0, Proof(0)))


@dataclass(frozen=True, slots=True)
class Dispute:
    """A feed that is held here and disputed from block `common` on; `rescued` is a length, see `feed_schema`."""

    heads: Heads
    fork: int
    common: int
    told: bool
    rescued: int


def heads_of(instance_id: str, found: Conflict) -> Heads:
    """Without the manifest, which follows from the writer's certificate."""
    one, other = (
        messages.encode(messages.Data(0, Proof(proof.fork, upgrade=proof.upgrade)))[1]
        for proof in (found.local, found.remote)
    )
    return Heads(instance_id, one, other)


def check(heads: Heads, feed_key: bytes) -> Conflict:
    """What two heads show; `feed_key` is the writer's public key. Raises `RemoteProtocolError` if it is nothing."""
    made = default(feed_key)
    one, other = _proof(heads.one), _proof(heads.other)
    if one.upgrade is None or other.upgrade is None or one.upgrade.start or other.upgrade.start:
        raise BadProof("it is no proof of a whole tree")
    found = conflict.conflict(authority(made.key, encode(made)), one, other)
    if found is None:
        raise BadProof("one head extends the other")
    return found


def learn(db: peewee.Database, heads: Heads, found: Conflict, *, told: bool = False) -> bool:
    """Keep what shows the shortest common beginning; whether that is news. `told`: it stands in our own feed."""
    row = db.execute_sql(
        "SELECT common FROM two_branches WHERE instance_id = ? AND fork = ?", (heads.instance_id, found.fork)
    ).fetchone()
    if row is not None and row[0] <= found.common:
        if told and row[0] == found.common:
            _tell(db, heads.instance_id, found.fork)
        return False
    db.execute_sql(
        "INSERT INTO two_branches (instance_id, fork, common, one, other, told, rescued) VALUES (?, ?, ?, ?, ?, ?, ?3) "
        "ON CONFLICT (instance_id, fork) DO UPDATE SET common = excluded.common, one = excluded.one, "
        "other = excluded.other, told = excluded.told, rescued = min(rescued, excluded.common)",
        (heads.instance_id, found.fork, found.common, heads.one, heads.other, told),
    )
    return True


def settle(db: peewee.Database, instance_id: str) -> None:
    """The writer is revoked: it is decided which branch counts."""
    db.execute_sql("DELETE FROM two_branches WHERE instance_id = ?", (instance_id,))


def forget_what_was_told(db: peewee.Database) -> None:
    """Our own feed lost blocks: what was told in them is told again, and what was rescued in them looked at."""
    db.execute_sql("UPDATE two_branches SET told = 0, rescued = common")


def of_feed(db: peewee.Database, feed: int) -> Dispute | None:
    row = db.execute_sql(
        "SELECT instance_id, one, other, fork, common, told, rescued FROM disputes WHERE feed = ?", (feed,)
    ).fetchone()
    return Dispute(Heads(*row[:3]), row[3], row[4], bool(row[5]), row[6]) if row else None


def all_disputed(db: peewee.Database) -> tuple[Place, ...]:
    """Of each disputed feed the first block that is."""
    return tuple(Place(*row) for row in db.execute_sql("SELECT feed, common FROM disputes ORDER BY feed").fetchall())


def is_disputed(db: peewee.Database, place: Place) -> bool:
    found = of_feed(db, place.feed)
    return found is not None and place.seq >= found.common


def is_known(db: peewee.Database, instance_id: str) -> bool:
    """Whether an instance's feed, as it is held here, is disputed."""
    return db.execute_sql("SELECT 1 FROM disputes WHERE instance_id = ?", (instance_id,)).fetchone() is not None


def rescued_up_to(db: peewee.Database, dispute: Dispute, length: int) -> None:
    """Every disputed block before a length stands in a feed beyond dispute."""
    db.execute_sql(
        "UPDATE two_branches SET rescued = ? WHERE instance_id = ? AND fork = ?",
        (length, dispute.heads.instance_id, dispute.fork),
    )


def _tell(db: peewee.Database, instance_id: str, fork: int) -> None:
    db.execute_sql("UPDATE two_branches SET told = 1 WHERE instance_id = ? AND fork = ?", (instance_id, fork))


def _proof(encoded: bytes) -> Proof:
    message = messages.decode(_DATA, encoded)
    if not isinstance(message, messages.Data):
        raise BadProof("it is no proof")
    return message.proof

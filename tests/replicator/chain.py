"""Machines of one chain in one process: store, own feed, intake; feeds are carried from one to another by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peewee

from crow_hooks import Change
from crow_plugins.feed import (
    Conflict,
    Feed,
    Proof,
    ProofRequest,
    RemoteProtocolError,
    Reorganisation,
    UpgradeRequest,
    flat_tree,
)
from crow_plugins.feed.conflict import from_nothing
from crow_plugins.feed.errors import NotHeld
from crow_plugins.feed.hashing import EMPTY_TREE_HASH
from crow_plugins.feed.head import Prefix
from crow_plugins.feed.proof import BlockProof
from crow_plugins.identity.revocation import Branch, Revocation
from crow_plugins.keyring import Keyring
from crow_plugins.replicator import branches, disputes, healing, revoking, schema
from crow_plugins.replicator.appending import Appending
from crow_plugins.replicator.applying import Applying, Outcome, Source
from crow_plugins.replicator.branch_that_counts import other_branches
from crow_plugins.replicator.feed_storage import DatabaseStorage, add_feed, find_feed
from crow_plugins.replicator.intake import Ahead, Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction
from tests.store.world import ROW, SCRIPT, THINGS, Listener, World, open_store

SEED = bytes(range(32))
RESCUES_MAX = 5  # batches
INSTANCES = "CREATE TABLE crow_instances (id TEXT PRIMARY KEY)"


@dataclass
class Machine(World):
    """One instance of the chain, without network and tools."""

    own: OwnFeed
    appending: Appending
    intake: Intake
    known: dict[str, bytes]
    revoked: dict[str, Revocation]
    on: set[str]
    trust: Trust
    keyring: Keyring
    told: list[tuple[Change, int]] = field(default_factory=list)
    dropped: object = None

    @property
    def id(self) -> str:
        return self.own.instance_id

    def blocks(self, feed_of: Machine | None = None) -> list[bytes]:
        """All blocks of a feed that are held here, our own if nobody's is named."""
        with self.store.read() as db:
            number = find_feed(db, (feed_of or self).own.key)
            if number is None:
                return []
            storage = DatabaseStorage(db, number)
            held = storage.blocks(range(storage.contiguous()))
            return [held[seq] for seq in sorted(held)]

    def take(self, feed_of: Machine, *, careful: bool = False, ahead: Ahead | None = None) -> Outcome:
        """Apply what is here of another's feed."""
        self.drop_what_counts_no_more()
        with self.store.transaction() as transaction:
            source = self._source(transaction.db, feed_of)
            return self.intake.take(transaction, source, careful=careful, ahead=ahead)

    def ahead(self, feed_of: Machine) -> Ahead:
        """What would be applied next, checked against the tables."""
        with self.store.transaction() as transaction:
            rules = transaction.rules
        with self.store.read() as db:
            found = self.intake.next(db, self._source(db, feed_of))
        assert found is not None
        found.check(rules)
        return found

    def _source(self, db: peewee.Database, feed_of: Machine) -> Source:
        number = find_feed(db, feed_of.own.key)
        assert number is not None
        return Source(number, feed_of.id)

    def doubt(self) -> None:
        """Find out that the database went back."""
        with self.store.transaction() as transaction:
            healing.begin(transaction, self.own, "restored")

    def heal(self, *peers: Machine, everybody: bool = False) -> None:
        """Take back what the peers have of our feed, and go on; `everybody`: there are no other instances."""
        forks, agree = [], everybody
        for peer in peers:
            with peer.store.read() as db:
                theirs = _feed(db, self)
                forks.append(theirs.head.fork if theirs else 0)
            with contextlib.suppress(RemoteProtocolError, NotHeld):  # another branch than ours
                carry(peer, self, self)
            agree = agree and self.extends(peer)
        with self.store.transaction() as transaction:
            healing.finish(transaction, self.own, self.intake, forks, all_agree=agree)

    def extends(self, peer: Machine) -> bool:
        """Whether a peer's copy of our feed is a part of it, as it is signed now."""
        return self._copy_at(peer) == "part"

    def is_outdone_by(self, peer: Machine) -> bool:
        """Whether a peer has more of our feed than we have, or another branch of it."""
        return self._copy_at(peer) == "more"

    def _copy_at(self, peer: Machine) -> str:
        with self.store.read() as ours, peer.store.read() as theirs:
            here, there = self.own.held(ours), _feed(theirs, self)
            if there is None or there.head.length == 0:
                return "part"
            if here is None or there.head.fork > here.head.fork:
                return "more"
            head = there.head
            if head.fork < here.head.fork:
                return "an earlier fork"
            if head.length > here.head.length:
                return "more"
            with contextlib.suppress(NotHeld):  # of a head whose blocks have not come
                return "part" if here.tree_hash(head.length) == head.tree_hash else "more"
            return "an unknown part"

    def rescue(self, feed_of: Machine) -> int:
        with self.store.transaction() as transaction:
            number = find_feed(transaction.db, feed_of.own.key)
            if number is None:
                return 0
            source = Source(number, feed_of.id)
            count = branches.rescue(transaction, self.own, self.intake, source)
            for _ in range(RESCUES_MAX):
                count += branches.rescue_disputed(transaction, self.own, self.intake, source)
            return count

    def learn(self, author: Machine, found: Conflict) -> None:
        """What shows two branches of a feed; of a revoked instance's it is decided which one counts."""
        if author.id not in self.revoked:
            with self.store.transaction() as transaction:
                disputes.learn(transaction.db, disputes.heads_of(author.id, found), found)

    def look_for_branches(self) -> bool:
        """Doubt our own feed if two branches of it are known."""
        with self.store.read() as db:
            is_news = disputes.is_known(db, self.id) and self.own.suspect(db) is None
        if is_news:
            self.doubt()
        return is_news

    def hear(self, *revocations: Revocation) -> None:
        """Hear of revocations, and drop what counts no more."""
        self.revoked.update({each.instance_id: each for each in revocations})
        self.drop_what_counts_no_more()

    def drop_what_counts_no_more(self) -> None:
        """Once a set of revocations and of feeds that are held in another branch, as `Trusting` does it."""
        with self.store.transaction() as transaction:
            known = dict(self.revoked), other_branches(transaction.db, self.trust)
            for each in self.revoked if known != self.dropped else ():
                revoking.drop(transaction, self.id, self.trust, each)
        self.dropped = known

    def branch(self, length: int, feed_of: Machine | None = None) -> Branch:
        """The first blocks of a feed as it is held here, our own if nobody's is named."""
        with self.store.read() as db:
            feed = _feed(db, feed_of or self)
            if feed is None or length == 0:
                return Branch(0, 0, EMPTY_TREE_HASH)
            return Branch(feed.head.fork, length, feed.tree_hash(length))

    def prefix(self, author: Machine) -> Prefix | None:
        """What counts of a feed whose instance was revoked."""
        end = self.revoked.get(author.id)
        return None if end is None or not end.feed.length else Prefix(end.feed.length, end.feed.tree_hash)

    def things(self) -> list[tuple[object, ...]]:
        """All rows and all that is known of them: what must be equal on all machines."""
        return [
            *self.rows("SELECT id, text, size, tags, updated_at, lamport_ts FROM things ORDER BY id"),
            *self.rows("SELECT table_name, row_id, vv, live, digest FROM row_versions ORDER BY 1, 2"),
            *self.rows(
                "SELECT id, table_name, row_id, local_data, remote_data, local_lamport, remote_lamport, "
                "remote_instance_id, op FROM sync_conflicts WHERE resolved = 0 ORDER BY id"
            ),
        ]


def machine(folder: Path, name: str, number: int, **options: object) -> Machine:
    """Make one; `number` decides its keys and id."""
    home = folder / name
    home.mkdir(mode=0o700)
    counter = iter(range(1 << 30))
    keyring = Keyring.create(
        home,
        name,
        "home",
        1_700_000_000,
        seed=SEED,
        random=lambda size: bytes([number, next(counter)]) * (size // 2),
    )
    return reopen(home, keyring, **options)


def reopen(home: Path, keyring: Keyring, **options: object) -> Machine:
    own = OwnFeed(keyring)
    listener = Listener()
    told: list[tuple[Change, int]] = []
    appending = Appending(own, lambda change, seq: told.append((change, seq)), lambda: None)
    listener.on_write = appending.stage
    known = {own.instance_id: own.feed_key}
    revoked: dict[str, Revocation] = {}
    trust, on = Trust(known, revoked), {"things"}
    scripts = {
        "registry": [INSTANCES],
        "replicator": [*schema.MIGRATIONS],
        "things": [SCRIPT],
        **options.pop("more_scripts", {}),  # type: ignore[dict-item]
    }
    given: dict[str, Any] = {"scripts": scripts, "synced": [THINGS], **options}
    world = open_store(home / "crow.db", listener, instance_id=own.instance_id, **given)
    intake = Intake(own, Applying(own.instance_id, lambda: trust, lambda table: table in on))
    return Machine(
        store=world.store,
        listener=listener,
        own=own,
        appending=appending,
        intake=intake,
        known=known,
        revoked=revoked,
        on=on,
        trust=trust,
        keyring=keyring,
        told=told,
    )


def introduce(*machines: Machine) -> None:
    """Have all know all."""
    for one in machines:
        with one.store.transaction() as transaction:
            for other in machines:
                one.known[other.id] = other.own.feed_key
                transaction.db.execute_sql("INSERT OR IGNORE INTO crow_instances VALUES (?)", (other.id,))


def carry(
    source: Machine, target: Machine, feed_of: Machine | None = None, *, apply: bool = True, blocks_max: int = 1 << 30
) -> Outcome | None:
    """Bring a feed, the source's own if none is named, to the target as far as the source has it.

    `blocks_max`: the connection is cut after so many blocks, when the head is there already.
    """
    author = feed_of or source
    with target.store.transaction() as transaction, source.store.read() as db:
        theirs = _feed(db, author)
        if theirs is None:
            return None
        prefix = target.prefix(author)
        ours = _feed(transaction.db, author, prefix) or _new(transaction, author, prefix)
        if not _is_wanted(theirs, ours):
            return None
        found = _two_branches(theirs, ours)
    if found is not None:
        for each in (source, target):
            each.learn(author, found)
    with target.store.transaction() as transaction, source.store.read() as db:
        theirs = _feed(db, author)
        ours = _feed(transaction.db, author, prefix) or _new(transaction, author, prefix)
        assert theirs is not None
        before = ours.storage.held().contiguous
        kept = _copy(transaction, target, author, theirs, ours, blocks_max, None if found is None else found.common)
        if author is target:
            return target.intake.take_own(transaction, min(before, kept))
    outcome = None
    while apply:
        outcome = target.take(author)
        with target.store.read() as db:
            number = find_feed(db, author.own.key)
            assert number is not None
            if target.intake.cursor(db, author.id).length >= DatabaseStorage(db, number).contiguous():
                break
    return outcome


def exchange(machines: Iterable[Machine]) -> None:
    """Everybody's feed to everybody, directly."""
    together = list(machines)
    for source in together:
        for target in together:
            if source is not target:
                carry(source, target)


@contextmanager
def chain(folder: Path, *names: str) -> Iterator[list[Machine]]:
    machines = [machine(folder, name, number) for number, name in enumerate(names, 1)]
    introduce(*machines)
    try:
        yield machines
    finally:
        for each in machines:
            each.store.close()


@dataclass(frozen=True)
class Parcel:
    """What a peer answered at one moment: a longer head, and blocks; it may come late, twice or never."""

    author: Machine
    fork: int
    head: Proof | None
    blocks: list[BlockProof]


def answered(source: Machine, target: Machine, author: Machine, blocks_max: int) -> Parcel | None:
    """What the source sends for what the target lacks now of a feed; None for another fork, or nothing."""
    with source.store.read() as there, target.store.read() as here:
        theirs, ours = _feed(there, author), _feed(here, author)
        if theirs is None or ours is None or theirs.head.fork != ours.head.fork:
            return None
        have, length = ours.head.length, theirs.head.length
        head = theirs.prove(ProofRequest(upgrade=UpgradeRequest(have, length - have))) if length > have else None
        wanted = list(ours.storage.held().missing(0, theirs.storage.held().contiguous))[:blocks_max]
        return Parcel(
            author, theirs.head.fork, head, theirs.prove_blocks([(seq, _levels(seq, length)) for seq in wanted])
        )


def _levels(seq: int, length: int) -> int:
    """From a leaf up to a root, so that the path rests on the head alone."""
    index, levels, roots = 2 * seq, 0, flat_tree.roots(length)
    while index not in roots:
        index, levels = flat_tree.parent(index), levels + 1
    return levels


def deliver(parcel: Parcel, target: Machine) -> None:
    """Store what a parcel brings, as far as it still fits, and apply it."""
    with target.store.transaction() as transaction:
        feed = _feed(transaction.db, parcel.author)
        if feed is None:  # the target was restored meanwhile
            return
        if parcel.head is not None:
            with contextlib.suppress(RemoteProtocolError):
                feed.storage.store(feed.receive(parcel.head))
        with contextlib.suppress(RemoteProtocolError):
            feed.storage.store(feed.receive_blocks(parcel.fork, parcel.blocks).batch)
    target.take(parcel.author)


def _feed(db: Any, author: Machine, prefix: Prefix | None = None) -> Feed | None:
    number = find_feed(db, author.own.key)
    return Feed(author.own.key, DatabaseStorage(db, number), prefix=prefix) if number is not None else None


def _new(transaction: WriteTransaction, author: Machine, prefix: Prefix | None) -> Feed:
    number = add_feed(transaction.db, author.own.key, author.own.manifest, author.id)
    return Feed(author.own.key, DatabaseStorage(transaction.db, number), prefix=prefix)


def _two_branches(theirs: Feed, ours: Feed) -> Conflict | None:
    """What two peers find out before they exchange anything of a feed."""
    length = theirs.comparable(ours.comparable(min(theirs.head.length, ours.head.length)))
    if ours.prefix is not None or theirs.head.fork != ours.head.fork or not length:
        return None
    with contextlib.suppress(NotHeld):
        return ours.conflict(theirs.prove(from_nothing(length)))
    return None


def _is_wanted(theirs: Feed, ours: Feed) -> bool:
    """Not an earlier fork; of a revoked feed the branch that counts, or what may be the beginning of it."""
    if ours.prefix is None:
        return theirs.head.fork >= ours.head.fork
    if theirs.head.length >= ours.prefix.length:
        return theirs.tree_hash(ours.prefix.length) == ours.prefix.tree_hash
    return ours.begins_right is None and theirs.head.fork == ours.head.fork


def _copy(
    transaction: WriteTransaction,
    target: Machine,
    author: Machine,
    theirs: Feed,
    ours: Feed,
    blocks_max: int,
    both: int | None,
) -> int:
    """Returns how much of what was here before is here still. `both`: only so many blocks are the same there."""
    have, there, prefix = ours.head, theirs.head, ours.prefix
    kept, end = have.length, there.length
    search: Reorganisation | None = None
    if both is not None:
        end = both
    elif prefix is not None and there.length >= prefix.length:
        end = prefix.length
        if not ours.begins_right:
            search = ours.take_prefix(theirs.prove(from_nothing(prefix.length)))
    elif there.fork > have.fork:
        search = ours.reorganise(theirs.prove(from_nothing(there.length)))
    elif there.length > have.length:
        upgrade = UpgradeRequest(have.length, there.length - have.length)
        ours.storage.store(ours.receive(theirs.prove(ProofRequest(upgrade=upgrade))))
    if search is not None:
        while search.request is not None:
            search.receive(theirs.prove(ProofRequest(hash=search.request)))
        number = find_feed(transaction.db, author.own.key)
        assert number is not None
        branches.follow(transaction, target.own, target.intake, Source(number, author.id), search.batch)
        kept = search.ancestor
    given = min(theirs.storage.held().contiguous, end)
    missing = list(ours.storage.held().missing(0, given))[:blocks_max]
    if missing:
        proofs = theirs.prove_blocks(ours.paths_wanted(missing, set()))
        ours.storage.store(ours.receive_blocks(ours.head.fork, proofs).batch)
    return kept


__all__ = ["ROW", "Machine", "carry", "chain", "exchange", "introduce", "machine", "reopen"]

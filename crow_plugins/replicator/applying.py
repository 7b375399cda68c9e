"""Taking in what other instances wrote: verified blocks of a feed, in order, into rows.

Each entry is applied, or parked with a reason; the cursor moves on in both cases, and the block is there for the
peers either way. A batch is one transaction. What an entry is refused for is found before anything is written, but for
handlers and the database itself: if these raise, the batch is tried again with a savepoint around each entry,
so that the one that fails is parked alone. A disk that is full or a database that is busy parks nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import peewee

from crow_hooks import CrowError, Entry
from crow_plugins import causality
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.replicator import disputes, naming
from crow_plugins.replicator.branch_that_counts import other_branches
from crow_plugins.replicator.entries import EntryIndex, Place
from crow_plugins.replicator.entry import Block, Heads, Read, Unreadable, read
from crow_plugins.replicator.feed_storage import block_at
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction, is_out_of_service

log = logging.getLogger(__name__)

FOREIGN_WRITER, UNKNOWN_WRITER = "foreign_writer", "unknown_writer"
UNKNOWN_TABLE = "unknown_table"
NOT_KEPT_HERE = (
    "no plugin here keeps such rows; compare crow plugins list with that of the machine that wrote it, "
    "and install the one that is missing here"
)


class Parked(CrowError):
    """A verified entry cannot be applied now; `reason` says why, in one word."""

    code = "entry_parked"

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(slots=True)
class Outcome:
    """What became of one batch: how many entries were applied, and which were parked or do not count."""

    applied: int = 0
    parked: list[tuple[int, str]] = field(default_factory=list)
    uncounted: int = 0
    highest_lamport: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A feed that is being taken in: its number here, and whose it is."""

    feed: int
    instance_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks that are taken in together, and whom to trust while that is done."""

    transaction: WriteTransaction
    source: Source
    trust: Trust
    index: EntryIndex
    is_on: Callable[[str], bool]
    careful: bool
    other_branch: bool  # the feed's instance is revoked, and this is not the branch of it that counts
    checked: list[Entry] = field(default_factory=list)  # and not joined yet
    outcome: Outcome = field(default_factory=Outcome)


class Applying:
    """Applies blocks inside the caller's transaction."""

    def __init__(self, own_id: str, trust: Callable[[], Trust], is_on: Callable[[str], bool]) -> None:
        """`trust` gives what is known now; `is_on` tells of a synced table whether its plugin is enabled."""
        self._own_id, self.trust, self._is_on = own_id, trust, is_on

    def apply(
        self,
        transaction: WriteTransaction,
        source: Source,
        first: int,
        blocks: Sequence[Block],
        *,
        careful: bool = False,
    ) -> Outcome:
        """Take in what stands in blocks from seq `first` on. `careful` puts a savepoint around each."""
        trust, is_on = self.trust(), cache(self._is_on)
        other_branch = source.feed in other_branches(transaction.db, trust)
        batch = Batch(transaction, source, trust, EntryIndex(transaction.db), is_on, careful, other_branch)
        for seq, found in enumerate(blocks, first):
            place = Place(source.feed, seq)
            try:
                self._apply_one(batch, place, found)
            except (Parked, Unreadable) as why:
                park(transaction.db, place, why.reason, str(why), transaction.now)
                batch.outcome.parked.append((seq, why.reason))
        transaction.join(*batch.checked)
        batch.index.flush()
        return batch.outcome

    def _apply_one(self, batch: Batch, place: Place, found: Block) -> None:
        if isinstance(found, Unreadable):
            raise found
        if isinstance(found, Heads):
            self._learn(batch, found)
            return
        outcome = batch.outcome
        if not batch.trust.counts(found, batch.source.instance_id, place.seq, other_branch=batch.other_branch):
            outcome.uncounted += 1
            return
        self._check(batch, place, found)
        entry = found.entry
        if batch.careful:
            self._join_alone(batch.transaction, entry)
        else:
            batch.checked.append(entry)
        batch.index.add(entry.table, entry.row_id, entry.version, place)
        outcome.applied += 1
        outcome.highest_lamport = max(outcome.highest_lamport, entry.version.lamport)

    def _learn(self, batch: Batch, heads: Heads) -> None:
        """What shows two branches proves itself, so it counts whoever shows it. A revocation has decided already."""
        if heads.shown_by != batch.source.instance_id:
            raise _foreign()
        if not batch.trust.knows(heads.instance_id):
            raise Parked(UNKNOWN_WRITER, "it shows two branches of a feed whose writer's certificate is not here yet")
        if heads.instance_id in batch.trust.revoked:
            return
        try:
            found = disputes.check(heads, batch.trust.known[heads.instance_id])
        except RemoteProtocolError as error:
            raise Parked("impossible", f"it does not show two branches of a feed: {error}") from error
        told = batch.source.instance_id == self._own_id
        if disputes.learn(batch.transaction.db, heads, found, told=told):
            log.error("two branches of a feed are known instance=%s", heads.instance_id)

    def _check(self, batch: Batch, place: Place, found: Read) -> None:
        transaction, entry = batch.transaction, found.entry
        _check_writer(batch, found)
        if entry.version.lamport > causality.lamport_limit(transaction.now):
            raise Parked("lamport_ahead", "its logical time is too far ahead; check the clocks of both machines")
        _check_owner(batch, found)
        self._check_name(batch, place, found)

    def _check_name(self, batch: Batch, place: Place, found: Read) -> None:
        """A dot names one write: of two entries of one dot that differ the same one stands everywhere."""
        db, entry = batch.transaction.db, found.entry
        for there in batch.index.places(entry.version):
            other = read(block_at(db, there.feed, there.seq))
            if other.original == found.original:
                continue
            if not naming.stands_before(db, found, place, other, there):
                naming.alarm(db, place.feed, entry, batch.trust.revoked)
                raise _used_twice(entry)
            self._give_way(batch, there, other.entry)

    def _give_way(self, batch: Batch, there: Place, entry: Entry) -> None:
        transaction, why = batch.transaction, _used_twice(entry)
        if entry in batch.checked:
            batch.checked.remove(entry)
        batch.index.remove(entry, there)
        naming.give_way(transaction, batch.index, entry)
        park(transaction.db, there, why.reason, str(why), transaction.now)
        naming.alarm(transaction.db, there.feed, entry, batch.trust.revoked)

    def _join_alone(self, transaction: WriteTransaction, entry: Entry) -> None:
        try:
            with transaction.savepoint():
                transaction.join(entry)
        except Exception as error:  # a plugin's handler, or what the database refuses of its row
            if is_out_of_service(error):
                raise
            log.exception("entry failed table=%s row=%s", entry.table, entry.row_id)
            raise Parked("failed", f"it could not be written ({type(error).__name__}); see `crow logs`") from error


def _check_writer(batch: Batch, found: Read) -> None:
    author = found.rescued_by or found.entry.instance_id
    if author != batch.source.instance_id:
        raise _foreign()
    if found.rescued_by and not batch.trust.knows(found.entry.instance_id):
        raise Parked(UNKNOWN_WRITER, "it was rescued from an instance whose certificate is not here yet")


def _foreign() -> Parked:
    return Parked(FOREIGN_WRITER, "it stands in the feed of another instance than the one it names")


def _used_twice(entry: Entry) -> Parked:
    writer = f"instance {entry.instance_id} gave its name to another write, too"
    return Parked(naming.USED_TWICE, f"{writer}; revoke that machine if somebody else may have its keys")


def _check_owner(batch: Batch, found: Read) -> None:
    entry = found.entry
    try:
        if not found.fits:
            batch.transaction.check(entry)
    except CrowError as error:
        reason = _reason(error)
        raise Parked(reason, NOT_KEPT_HERE if reason == UNKNOWN_TABLE else str(error)) from error
    if not batch.is_on(entry.table):
        raise Parked("plugin_off", f"the plugin that owns {entry.table} is off on this machine; enable it")


def park(db: peewee.Database, place: Place, reason: str, detail: str, now: int) -> None:
    db.execute_sql(
        "INSERT INTO parked_entries (feed, seq, reason, detail, since) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (feed, seq) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, tried = tried + 1",
        (place.feed, place.seq, reason, detail, now),
    )


def unpark(db: peewee.Database, place: Place) -> None:
    db.execute_sql("DELETE FROM parked_entries WHERE feed = ? AND seq = ?", (place.feed, place.seq))


def parked_anywhere(db: peewee.Database) -> set[bytes]:
    """The entries that are parked in any feed, as their writers wrote them: they stand there, though no index has them.

    Those that cannot be read are left out, those in a feed where they do not belong, and those that are disputed.
    """
    rows = db.execute_sql(
        "SELECT feed, seq FROM parked_entries LEFT JOIN disputes USING (feed) "
        "WHERE reason <> ? AND (common IS NULL OR seq < common)",
        (FOREIGN_WRITER,),
    ).fetchall()
    found = set()
    for feed, seq in rows:
        with contextlib.suppress(Unreadable):
            found.add(read(block_at(db, feed, seq)).original)
    return found


def _reason(error: CrowError) -> str:
    """Why an entry does not fit what is known here."""
    if error.code == UNKNOWN_TABLE:
        return UNKNOWN_TABLE
    return "impossible" if isinstance(error, causality.CausalityError) else "breaks_schema"

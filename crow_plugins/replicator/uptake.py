"""Applying whatever is here and not applied yet, of all feeds in turn, whenever something came.

A batch that fails as a whole is tried again entry by entry, and its feed stays so until the next start. A disk that is
full or a database that is busy stops it, visibly, and it goes on a second later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import peewee

from crow_hooks import Crow, Entry
from crow_plugins.replicator import disputes
from crow_plugins.replicator.applying import Outcome, Source
from crow_plugins.replicator.branches import (
    can_rescue,
    is_disputed_and_waits,
    is_orphaned_and_ready,
    rescue,
    rescue_disputed,
)
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.feed_storage import DatabaseStorage, find_feed
from crow_plugins.replicator.intake import BEFORE_ALL, Ahead, Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.shelf import ChainFeed
from crow_plugins.replicator.trusting import Trusting
from crow_plugins.store import WriteTransaction, is_out_of_service

log = logging.getLogger(__name__)

PARKED_SECONDS = 300.0  # between two tries of what is parked


class Uptake:
    """Applies, one batch a transaction. Every method is database work."""

    def __init__(
        self, crow: Crow, own: OwnFeed, intake: Intake, trusting: Trusting, tables_on: Callable[[], Collection[str]]
    ) -> None:
        """`tables_on` has the names of the synced tables whose plugins are enabled."""
        self._crow, self._own, self._intake, self._trusting = crow, own, intake, trusting
        self._tables_on = tables_on
        self._careful: set[bytes] = set()
        self._coming: dict[bytes, Future[Ahead | None]] = {}
        self._rules: Callable[[Entry], None] | None = None  # the first transaction tells them
        self._tried = float("-inf")
        self._helpful: object = None  # when they were tried last
        self._disputed: tuple[Place, ...] = ()

    def take_all(self) -> bool:
        """Until nothing is left that can be applied; whether other feeds are disputed than before."""
        with ThreadPoolExecutor(1, "reading-ahead") as reading:  # it has no thread before there is a second batch
            try:
                while self._take_some_of_each(reading):
                    pass
            finally:
                self._coming.clear()
        before = self._disputed
        with self._crow.read() as db:
            self._disputed = disputes.all_disputed(db)
        return self._disputed != before

    def _take_some_of_each(self, reading: Executor) -> bool:
        """Whether there may be more."""
        feeds = self._trusting.feeds().items()
        return sum(self._take_some(key, feed, reading) for key, feed in feeds if key != self._own.key) > 0

    def retry_parked(self) -> bool:
        """Try all parked entries again: at once when a plugin was switched on, somebody is trusted, or more or less of
        a feed is disputed, else now and then, since time passes. Whether it was time.
        """
        helpful = self._tables_on(), self._trusting.now(), self._disputed
        if time.monotonic() - self._tried < PARKED_SECONDS and helpful == self._helpful:
            return False
        self._tried, self._helpful = time.monotonic(), helpful
        last: Place | None = BEFORE_ALL if self._is_any_parked() else None
        while last is not None:
            with self._crow.transaction() as transaction:
                assert isinstance(transaction, WriteTransaction)
                last = self._intake.retry_parked(transaction, last).last
        return True

    def _is_any_parked(self) -> bool:
        with self._crow.read() as db:
            return db.execute_sql("SELECT 1 FROM parked_entries LIMIT 1").fetchone() is not None

    def _take_some(self, key: bytes, feed: ChainFeed, reading: Executor) -> bool:
        """One batch of a feed; whether there may be more."""
        with self._crow.read() as db:
            number = find_feed(db, key)
            if number is None or self._is_done(db, number, feed):
                return False
        source = Source(number, feed.instance_id)
        coming = self._coming.pop(key, None)
        ahead = (coming and coming.result()) or self._read(source)
        if ahead is not None and ahead.is_full:  # the one after it is read while SQLite writes this one
            self._coming[key] = reading.submit(self._read, source, ahead.end)
        try:
            return self._took(source, ahead, careful=key in self._careful)
        except Exception as error:
            if key in self._careful or is_out_of_service(error):
                raise
            log.warning("a batch failed, its entries are tried one by one instance=%s: %s", feed.instance_id, error)
            self._careful.add(key)
            return True

    def _read(self, source: Source, first: int | None = None) -> Ahead | None:
        """The next batch, or the one that begins at `first`, if all of that is here."""
        with self._crow.read() as db:
            ahead = self._intake.next(db, source, first)
        if ahead is None or (first is not None and not ahead.is_full):
            return None
        if self._rules is not None:
            ahead.check(self._rules)
        return ahead

    def _took(self, source: Source, ahead: Ahead | None, *, careful: bool) -> bool:
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            return self._take_within(transaction, source, ahead, careful=careful)

    def take_with_their_blocks(self, transaction: WriteTransaction, sources: Sequence[Source]) -> None:
        """Apply in the transaction that stores the blocks; what cannot be is left for `take_all`."""
        for source in sources:
            try:
                with transaction.savepoint():
                    self._take_within(transaction, source, None, careful=False)
            except Exception as error:
                if is_out_of_service(error):
                    raise
                log.info("entries wait for their own transaction instance=%s: %s", source.instance_id, error)

    def _take_within(
        self, transaction: WriteTransaction, source: Source, ahead: Ahead | None, *, careful: bool
    ) -> bool:
        self._rules = transaction.rules
        outcome = self._intake.take(transaction, source, careful=careful, ahead=ahead)
        waits = is_disputed_and_waits(transaction.db, self._intake, source)
        orphaned = can_rescue(transaction.db, self._own, self._intake, source, transaction.now)
        if orphaned:
            rescue(transaction, self._own, self._intake, source)
        if waits:
            rescue_disputed(transaction, self._own, self._intake, source)
        transaction.after_commit(lambda: self._tell(source, outcome))
        return bool(waits or orphaned or outcome.applied or outcome.parked or outcome.uncounted)

    def _tell(self, source: Source, outcome: Outcome) -> None:
        by_reason: dict[str, list[int]] = {}
        for seq, reason in outcome.parked:
            by_reason.setdefault(reason, []).append(seq)
        for reason, seqs in by_reason.items():  # a plugin that is off parks thousands
            log.warning(
                "entries parked instance=%s reason=%s count=%d first=%d",
                *(source.instance_id, reason, len(seqs), min(seqs)),
            )
        for seq, reason in outcome.parked:
            self._crow.notify("entry_parked", instance_id=source.instance_id, seq=seq, reason=reason)

    def _is_done(self, db: peewee.Database, number: int, feed: ChainFeed) -> bool:
        storage = DatabaseStorage(db, number)
        source = Source(number, feed.instance_id)
        orphaned = is_orphaned_and_ready(db, self._intake, source, self._crow.now())
        if (orphaned or is_disputed_and_waits(db, self._intake, source)) and self._own.may_append(db):
            return False
        return self._intake.cursor(db, feed.instance_id).length >= storage.contiguous()

"""Our own feed, kept trustworthy: doubted when it may be behind what others have of it, healed when they were asked.

The seal tells at the start, the peers at any time. While it is doubted, nothing is appended to it and nothing of it is
given; whoever has more of it gives that back first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import peewee

from crow_hooks import Crow, CrowError, WrongThread
from crow_plugins.feed import Head
from crow_plugins.replicator import backfill, branches, disputes, healing
from crow_plugins.replicator.feed_storage import freeze, held_feed
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.seal import SealFile, doubt
from crow_plugins.store import WriteTransaction, this_machine

log = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0  # what a peer takes to say what it has, and to show another branch if it has one
GRACE_SECONDS = 5.0  # how long instances are waited for that are not here
LOOKS, LOOK_APART_SECONDS = 5, 0.1  # a seal is written some milliseconds after its commit
GIVING_SECONDS = 30.0  # how long a peer that has more may take to give it

Reach = tuple[int, int]  # fork and length
Heads = dict[str, tuple[int, int]]  # fork and length of our feed, by the instance that told


class Mending:
    """The state of our own feed. Every method is database work."""

    def __init__(self, crow: Crow, own: OwnFeed, intake: Intake, seal: SealFile) -> None:
        self._crow, self._own, self._intake, self._seal = crow, own, intake, seal
        self._on_disk, self._for_now = threading.Lock(), threading.Lock()
        self._sealed: Reach | None = None  # on the disk
        self._told: Reach | None = None  # there, or for now
        self._since = 0.0
        self._branches = False  # a peer showed another branch of it
        self._is_sealed = False  # a seal was seen

    def look_back(self) -> None:
        """Look at the seal before this process writes: a database that went back may not name new writes as lost ones.

        What cannot be looked at or noted stands in no command's way; whoever serves looks again, and says it.
        """
        try:
            self._look_at_seal()
        except WrongThread:  # opened on an event loop: by who serves, and looks as it begins
            return
        except CrowError as error:
            log.warning("the seal was not looked at: %s", error)

    def begin(self) -> None:
        """At the start: look at the seal, and append what was written while nothing could be."""
        if self._own.may_sign:
            self._look_at_seal()
        count = backfill.run(self._crow, self._own)
        if count:
            log.info("appended what was written while the replicator was off entries=%d", count)
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            branches.read_again(transaction.db, transaction.now)
            if (
                healing.is_waiting(transaction, self._own)
                and self._own.may_sign
                and self._own.suspect(transaction.db) is None
            ):
                healing.finish(transaction, self._own, self._intake, [], all_agree=True)  # it waited for the keys only
        self._since = time.monotonic()

    def suspect(self) -> str | None:
        with self._crow.read() as db:
            return self._own.suspect(db)

    def seal_for_now(self) -> None:
        """Seal what our feed is, before anybody is told; on the disk it is with the next `seal`, a moment later.

        The first time it is on the disk at once: there may be no other seal of this store.
        """
        if self._sealed is None:
            self.seal()
            return
        with self._for_now:
            self._told = self._seal_past(self._told, self._seal.write_for_now) or self._told

    def seal(self) -> None:
        """The same, on the disk when this returns."""
        with self._on_disk:
            self._sealed = self._seal_past(self._sealed, self._seal.write) or self._sealed
        self._told = max(filter(None, (self._told, self._sealed)), default=None)

    def _seal_past(self, sealed: Reach | None, write: Callable[[str, Head, str], None]) -> Reach | None:
        """Seal what our feed is, if that is more than was `sealed`, and in no doubt; returns how far it reaches."""
        with self._crow.read() as db:
            if self._own.reach(db) <= (sealed or (0, 0)):
                return None
            feed = self._own.held(db)
            if feed is None or self._own.suspect(db) is not None:
                return None
            head, store_id = feed.head, _store_id(db)
        write(store_id, head, this_machine().boot_id)
        return head.fork, head.length

    @property
    def sealed_length(self) -> int:
        """How much of our feed others may be told of."""
        return self._told[1] if self._told else 0

    def seal_first(self) -> None:
        """Seal if there is no seal: one that is behind is as good, and without any all is doubted."""
        if self._is_sealed:
            return
        if not self._seal.path.exists():
            self.seal()
        self._is_sealed = self._seal.path.exists()

    def compare(self, peer_id: str, fork: int, length: int) -> bool:
        """A peer told what it has of our feed; whether it is doubted by that."""
        with self._crow.read() as db:
            here = self._own.reach(db)
        if (fork, length) > here if fork >= here[0] else False:
            return self.doubt(f"instance {peer_id} has more of it than this database")
        return False

    def other_branch(self, peer_id: str) -> bool:
        self._branches = True
        return self.doubt(f"instance {peer_id} holds another branch of it")

    def look_for_branches(self) -> bool:
        """Whether it is doubted since somebody showed two branches of it to anybody, of whom we hear just now."""
        with self._crow.read() as db:
            is_news = disputes.is_known(db, self._own.instance_id) and self._own.suspect(db) is None
        if is_news:
            self._branches = True
            return self.doubt("two branches of it were shown to another instance")
        return False

    def doubt(self, reason: str) -> bool:
        """Append nothing more; whether that is new."""
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            if self._own.suspect(transaction.db) is not None:
                return False
            healing.begin(transaction, self._own, reason)
        self._since = time.monotonic()
        log.error("this instance's feed is not appended to for now: %s", reason)
        return True

    def heal(self, needed: frozenset[str], heads: Heads) -> bool:
        """Trust our feed again if that can be decided now; whether it was.

        `needed` are the instances of the chain that are not revoked, `heads` what the connected ones have of it.
        """
        if not self._own.may_sign or self.suspect() is None or not self._is_time(needed - heads.keys(), bool(needed)):
            return False
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            here = held_feed(transaction.db, self._own.number(transaction.db))
            fork, length = here.fork, here.length
            longer = any(told > (fork, length) and told[0] == fork for told in heads.values())
            if (here.contiguous < length or longer) and self._is_given():
                return False
            agree = needed <= heads.keys() and all(told[0] == fork and told[1] <= length for told in heads.values())
            forks = [told[0] for told in heads.values()]
            head = healing.finish(transaction, self._own, self._intake, forks, all_agree=agree and not self._branches)
            freeze(transaction.db, here.number, None)
        self._branches = False
        log.info("this instance's feed is healed fork=%d length=%d", head.fork, head.length)
        return True

    def _is_time(self, missing: frozenset[str], others: bool) -> bool:
        waited = time.monotonic() - self._since
        return not others or waited >= (GRACE_SECONDS if missing else SETTLE_SECONDS)

    def _is_given(self) -> bool:
        """Whether it is worth waiting for what a peer has and we lack; another branch never comes like that.

        Nor does a block that no peer has: its head got around before the restore, the block itself did not.
        """
        return not self._branches and time.monotonic() - self._since < GIVING_SECONDS

    def _look_at_seal(self) -> None:
        """More than once before it is doubted: another process may be between its commit and its seal."""
        reason = self._doubtful()
        for _ in range(LOOKS - 1):
            if reason is None:
                return
            time.sleep(LOOK_APART_SECONDS)
            reason = self._doubtful()
        if reason is not None:
            self.doubt(reason)

    def _doubtful(self) -> str | None:
        seal = self._seal.read()  # before the database: what others append meanwhile is no reason then
        with self._crow.read() as db:
            feed = self._own.held(db)
            if feed is None:
                return None
            head, store_id = feed.head, _store_id(db)
            tree_hash = feed.tree_hash(seal.length) if seal is not None and seal.length <= head.length else None
        return doubt(seal, seal is not None and self._seal.is_a_copy(seal), store_id, head, tree_hash)


def _store_id(db: peewee.Database) -> str:
    row = db.execute_sql("SELECT store_id FROM clock WHERE id = 1").fetchone()
    return str(row[0]) if row else ""

"""InstanceSyncManager: keeps this database and those of the other instances equal, for as long as a process serves.

It knows the feeds of the chain, lets peers in, has what came applied, tells the peers of what was written here, and
heals our own feed after a restore. What is said on a connection is the link's business, who is dialled the dialler's;
what an entry does to a row the intake's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import peewee

from crow_hooks import (
    Change,
    Conflict,
    Crow,
    CrowError,
    Data,
    FeedStatus,
    InstanceRegistry,
    KnownInstance,
    SyncProgress,
    Transaction,
)
from crow_plugins.feed import LocalProtocolError, RemoteProtocolError
from crow_plugins.feed.exchange import Announced, FeedEvent, Forked, Grew
from crow_plugins.identity import revocation
from crow_plugins.identity.errors import IdentityError
from crow_plugins.identity.keys import KeyPair
from crow_plugins.lease import Lease
from crow_plugins.premises import Premises
from crow_plugins.replicator import backfill, healing, membership, rejections, revoking
from crow_plugins.replicator.appending import Appending
from crow_plugins.replicator.applying import Applying, Source
from crow_plugins.replicator.branches import rescue
from crow_plugins.replicator.dialling import Dialler
from crow_plugins.replicator.feed_storage import DatabaseStorage, all_feeds, find_feed, freeze, held_feed
from crow_plugins.replicator.history import ancestor
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.link import Link, Signal
from crow_plugins.replicator.membership import Introduction
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.seal import SealFile, doubt
from crow_plugins.replicator.shelf import ChainFeed, ReadingShelf, StoringShelf, feeds_of
from crow_plugins.replicator.status import statuses
from crow_plugins.replicator.transport import ByteStream
from crow_plugins.replicator.trust import Trust
from crow_plugins.replicator.wake import Wake, wake
from crow_plugins.store import WriteTransaction, this_machine

log = logging.getLogger(__name__)

HEAL_SECONDS = 5.0  # how long a doubted feed waits for instances that are not here
PARKED_SECONDS = 300.0


@dataclass
class Heads:
    """What each connected peer says of each feed: fork and length."""

    told: dict[tuple[str, bytes], tuple[int, int]] = field(default_factory=dict)

    def longest(self, key: bytes) -> int:
        return max((length for (_, told), (_, length) in self.told.items() if told == key), default=0)

    def of(self, key: bytes) -> dict[str, tuple[int, int]]:
        return {peer: head for (peer, told), head in self.told.items() if told == key}

    def forget(self, peer_id: str) -> None:
        self.told = {name: head for name, head in self.told.items() if name[0] != peer_id}


class InstanceSyncManager:
    """One instance's side of the sync. Make it in `setup`; `start` and `stop` it on the event loop."""

    def __init__(self, crow: Crow, premises: Premises, registry: InstanceRegistry) -> None:
        self._crow, self._premises, self._registry = crow, premises, registry
        self.own = OwnFeed(premises.keyring)
        self.appending = Appending(self.own, self._appended, self._own_grew)
        self.applying = Applying(self.trust, premises.table_is_on)
        self.intake = Intake(self.own, self.applying)
        self._chain = bytes.fromhex(premises.keyring.identity.chain)
        self._seal = SealFile(premises.home.folder)
        self._sealed: tuple[int, int] | None = None
        self._heads = Heads()
        self._links: dict[str, list[Link]] = {}
        self._careful: set[bytes] = set()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._grown = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake: Wake | None = None
        self._doubted_at = 0.0
        self._agrees = True  # no peer showed another branch of our feed
        self._revoked_seen: frozenset[bytes] = frozenset()
        self._trust_of: tuple[object, Trust] | None = None
        self._dialler: Dialler | None = None

    # ---- what the hooks ask ---------------------------------------------------------------------

    def local_write(self, change: Change, transaction: Transaction) -> None:
        self.appending.stage(change, transaction)

    async def start(self) -> None:
        """Bring our feed up to what was written, look whether it is to be trusted, and begin to apply."""
        self._loop = asyncio.get_running_loop()
        self._grown, self._changed = asyncio.Event(), asyncio.Event()
        await asyncio.to_thread(self._prepare)
        home = self._premises.home
        self._wake = Wake(home.folder, home.database, self._woken)
        self._wake.start()
        self._tasks = [asyncio.create_task(self._apply_always()), asyncio.create_task(self._tend())]
        self._dialler = Dialler(self._registry, Lease(home.folder / "sync.lock"), self.connected, self._dialled)
        self._dialler.start()
        self._grown.set()

    def _dialled(self, stream: ByteStream) -> asyncio.Task[Link]:
        return asyncio.create_task(self.converse(stream, dialled=True))

    async def stop(self) -> None:
        if self._dialler is not None:
            await self._dialler.stop()
        for link in self.links():
            link.signal(Signal.END)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wake is not None:
            await self._wake.stop()
        await asyncio.to_thread(self._seal_own)
        self._loop = None

    # ---- the service ----------------------------------------------------------------------------

    def status(self) -> list[FeedStatus]:
        announced = {feed.instance_id: self._heads.longest(key) for key, feed in self._feeds().items()}
        with self._crow.read() as db:
            return statuses(
                db, self.own, self._crow.instance, self._registry.others(), announced, frozenset(self._links)
            )

    async def sync_now(self, instance_id: str | None = None, wait_seconds: float = 0.0) -> SyncProgress:
        begun = time.monotonic()
        if self._dialler is not None:
            self._dialler.dial_now(instance_id)
        self._grown.set()
        while True:
            remaining = await asyncio.to_thread(self._remaining, instance_id)
            seconds = time.monotonic() - begun
            if (remaining == 0 and self._is_reached(instance_id)) or seconds >= wait_seconds:
                return SyncProgress(remaining == 0 and self._is_reached(instance_id), remaining, round(seconds, 3))
            self._changed.clear()
            try:
                async with asyncio.timeout(min(0.25, max(0.0, wait_seconds - seconds))):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def sync_once(self, named: str | None, wait_seconds: float) -> SyncProgress:
        """The same for a command: in a process that does not serve. Lets a peer in that was shut out."""
        instance_id = None if named is None else self._registry.find(named).instance.id

        def release() -> None:
            with self._crow.transaction() as transaction:
                rejections.release(transaction.db, instance_id)

        await asyncio.to_thread(release)
        await self.start()
        try:
            return await self.sync_now(instance_id, wait_seconds)
        finally:
            await self.stop()

    def is_caught_up(self) -> bool:
        with self._crow.read() as db:
            if self.own.state(db).suspect is not None:
                return False
        return self._remaining(None) == 0

    def ancestor(self, conflict: Conflict, transaction: Transaction) -> Data | None:
        return ancestor(transaction.db, conflict)

    def suspect(self) -> str | None:
        with self._crow.read() as db:
            return self.own.state(db).suspect

    # ---- what links ask (see `link.House`) ------------------------------------------------------

    @property
    def noise_key(self) -> KeyPair:
        return self._premises.keyring.device.noise

    def introduction(self, link: Link) -> bytes | None:
        session = link.session.wire.session
        assert session is not None
        known = any(
            other.noise_key == session.remote_public_key and not other.revoked for other in self._registry.others()
        )
        if link.peer is None and not known:
            return None
        own = self._premises.keyring.identity.certificate.encode()

        def sign(payload: bytes) -> bytes:
            return self._premises.keyring.sign(membership.PURPOSE, payload)

        return membership.introduction(own, self._registry.credentials(), session, link.session.wire.initiator, sign)

    def check(self, link: Link, said: bytes) -> Introduction:
        session = link.session.wire.session
        assert session is not None
        revoked = {other.instance.id for other in self._registry.others() if other.revoked}
        initiator = link.session.wire.initiator
        found = membership.check(said, session, initiator, self._chain, revoked, self._crow.now())
        with self._crow.read() as db:
            if found.certificate.instance_id in rejections.quarantined(db):
                raise membership.Quarantined
        return found

    def welcome(self, link: Link, introduction: Introduction) -> None:
        changed = self._registry.learn(introduction.heard)
        peer_id = introduction.certificate.instance_id
        if peer_id in {other.instance.id for other in self._registry.others() if other.revoked}:
            raise membership.PeerRevoked
        self._registry.seen(peer_id, "online")
        if changed:
            self._signal_links(Signal.CHAIN_CHANGED, but=link)
        self._on_loop(lambda: self._admit(link, peer_id))

    def feeds(self, link: Link) -> Sequence[tuple[bytes, bool]]:
        suspect = self.suspect() is not None or not self.own.may_sign
        with self._crow.read() as db:
            frozen = {feed.key for feed in all_feeds(db) if feed.frozen}
        del frozen  # a frozen feed is still offered: its healing comes over the same channel
        return [(key, not (suspect and key == self.own.key)) for key in self._feeds()]

    def work(self, link: Link) -> list[FeedEvent]:
        feeds = self._feeds()
        try:
            events = self._worked(link, feeds)
        except RemoteProtocolError as error:
            self._reject(link, error)
            raise
        assert link.peer is not None
        for event in events:
            self._note(link.peer.id, event, feeds)
        if any(isinstance(event, Grew) for event in events):
            self._on_loop(self._grown.set)
            self._signal_links(Signal.FEEDS_GREW, but=link)
        return events

    def _worked(self, link: Link, feeds: Mapping[bytes, ChainFeed]) -> list[FeedEvent]:
        self._seal_own()
        if not link.session.will_store:
            with self._crow.read() as db:
                return link.session.work(ReadingShelf(db, feeds))
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            shelf = StoringShelf(transaction, feeds, self.own, self.intake)
            events = link.session.work(shelf)
            shelf.finish()
        return events

    # ---- connections ----------------------------------------------------------------------------

    async def converse(self, stream: ByteStream, *, dialled: bool) -> Link:
        """Hold one connection to its end; why it ended is logged, and whom it was with the link says."""
        link = Link(stream, self, dialled=dialled)
        try:
            await link.run()
        except TimeoutError:
            log.info("peer is silent, the connection ends peer=%s", link.peer and link.peer.id)
        except CrowError as error:
            log.warning("connection ended peer=%s reason=%s", link.peer and link.peer.id, error)
        except Exception:  # ours: the next connection begins anew
            log.exception("connection failed peer=%s", link.peer and link.peer.id)
        finally:
            self._leave(link)
        return link

    def connected(self) -> frozenset[str]:
        """The ids of the instances that are connected now."""
        return frozenset(self._links)

    def links(self) -> list[Link]:
        return [link for links in self._links.values() for link in links]

    def _admit(self, link: Link, peer_id: str) -> None:
        """Of two connections that each side dialled, the one stays that the lower id dialled."""
        links = self._links.setdefault(peer_id, [])
        if link in links:
            return
        links.append(link)
        log.info("peer connected peer=%s dialled=%s", peer_id, link.dialled)
        ours_stays = self._crow.instance.id < peer_id
        if any(each.dialled == ours_stays for each in links):
            for each in links:
                if each.dialled != ours_stays:
                    each.signal(Signal.END)
        self._changed.set()

    def _leave(self, link: Link) -> None:
        if link.peer is None:
            return
        peer_id = link.peer.id
        links = self._links.get(peer_id, [])
        if link in links:
            links.remove(link)
        if not links and self._links.pop(peer_id, None) is not None:
            self._heads.forget(peer_id)
            log.info("peer left peer=%s", peer_id)

    def _signal_links(self, signal: Signal, *, but: Link | None = None) -> None:
        def tell() -> None:
            for link in self.links():
                if link is not but:
                    link.signal(signal)

        self._on_loop(tell)

    def _on_loop(self, run: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(run)

    # ---- what was written here ------------------------------------------------------------------

    def _appended(self, change: Change, seq: int) -> None:
        self._crow.notify("entry_appended", change=change, seq=seq)

    def _own_grew(self) -> None:
        """After the commit, in whatever process and thread wrote."""
        if self._loop is None:
            if not self._seal.path.exists():  # one that is behind is as good; where there is none, all is doubted
                self._seal_own()
            wake(self._premises.home.folder)
        else:
            self._signal_links(Signal.FEEDS_GREW)

    def _woken(self) -> None:
        """Another process committed something: feeds, registry, or what heals."""
        for link in self.links():
            link.signal(Signal.FEEDS_GREW)
            link.signal(Signal.CHAIN_CHANGED)
        self._grown.set()

    def _seal_own(self) -> None:
        """Seal what our feed is before anybody is told."""
        with self._crow.read() as db:
            feed = self.own.held(db)
            if feed is None or self.own.state(db).suspect is not None:
                return
            head = feed.head
            store_id = _store_id(db)
        with self._lock:
            if self._sealed != (head.fork, head.length):
                self._seal.write(store_id, head, this_machine().boot_id)
                self._sealed = head.fork, head.length

    # ---- what came ------------------------------------------------------------------------------

    async def _apply_always(self) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            try:
                await asyncio.to_thread(self._apply_all)
            except Exception:  # a full or failing disk, a busy database: visible, and tried again
                log.exception("applying failed, tried again in a second")
                await asyncio.sleep(1)
                self._grown.set()
            self._changed.set()

    def _apply_all(self) -> None:
        self._hear_of_revocations()
        behind = True
        while behind:
            behind = False
            for key, feed in self._feeds().items():
                if key != self.own.key:
                    behind |= self._apply_some(key, feed)
        if self.is_caught_up():
            self._premises.sweep_conflicts()

    def _apply_some(self, key: bytes, feed: ChainFeed) -> bool:
        """One batch of a feed; whether there may be more."""
        with self._crow.read() as db:
            number = find_feed(db, key)
            if number is None or self._is_applied(db, number, feed):
                return False
        source = Source(number, feed.instance_id)
        try:
            return self._applied(source, careful=key in self._careful)
        except Exception as error:
            if key in self._careful:
                raise
            log.warning("a batch failed, its entries are tried one by one instance=%s: %s", feed.instance_id, error)
            self._careful.add(key)
            return True

    def _applied(self, source: Source, *, careful: bool) -> bool:
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            outcome = self.intake.take(transaction, source, careful=careful)
            rescue(transaction, self.own, source)
            if any(reason == "dot_used_twice" for _, reason in outcome.parked):
                freeze(transaction.db, source.feed, "one name for two writes")
            for seq, reason in outcome.parked:
                transaction.after_commit(
                    lambda seq=seq, reason=reason: self._crow.notify(  # type: ignore[misc]
                        "entry_parked", instance_id=source.instance_id, seq=seq, reason=reason
                    )
                )
        for seq, reason in outcome.parked:
            log.warning("entry parked instance=%s seq=%d reason=%s", source.instance_id, seq, reason)
        return bool(outcome.applied or outcome.parked or outcome.uncounted)

    def _is_applied(self, db: peewee.Database, number: int, feed: ChainFeed) -> bool:
        storage = DatabaseStorage(db, number)
        waiting = db.execute_sql("SELECT 1 FROM orphans WHERE feed = ? LIMIT 1", (number,)).fetchone()
        return waiting is None and self.intake.cursor(db, feed.instance_id).length >= storage.contiguous()

    def _note(self, peer_id: str, event: FeedEvent, feeds: Mapping[bytes, ChainFeed]) -> None:
        """What a peer's words mean beyond its own connection."""
        match event:
            case Announced(key=key, fork=fork, length=length):
                self._heads.told[peer_id, key] = fork, length
                if key == self.own.key:
                    self._compare_own(peer_id, fork, length)
                self._on_loop(self._changed.set)
            case Forked(key=key) if key == self.own.key:
                self._agrees = False
                self._doubt(f"instance {peer_id} holds another branch of it")
            case Forked(key=key):
                with self._crow.transaction() as transaction:
                    number = find_feed(transaction.db, key)
                    if number is not None:
                        freeze(transaction.db, number, "two branches of it are known")
                log.error("two branches of a feed are known instance=%s", feeds[key].instance_id)
            case _:
                pass

    def _compare_own(self, peer_id: str, fork: int, length: int) -> None:
        with self._crow.read() as db:
            feed = self.own.held(db)
            here = (feed.head.fork, feed.head.length) if feed else (0, 0)
        if fork > here[0] or (fork == here[0] and length > here[1]):
            self._doubt(f"instance {peer_id} has more of it than this database")

    def _reject(self, link: Link, error: RemoteProtocolError) -> None:
        assert link.peer is not None
        rejection = rejections.Rejection(link.peer.id, link.peer.id, 0, error.code, self._crow.now())
        with self._crow.transaction() as transaction:
            quarantined = rejections.add(transaction.db, rejection)
        log.warning("entry rejected peer=%s reason=%s quarantined=%s", link.peer.id, error.code, quarantined)
        self._crow.notify("entry_rejected", instance_id=link.peer.id, seq=0, reason=error.code)

    # ---- who counts -----------------------------------------------------------------------------

    def trust(self) -> Trust:
        """What is known now of certificates and revocations."""
        others = self._registry.others()
        if self._trust_of is None or self._trust_of[0] is not others:
            known = {self._crow.instance.id, *(other.instance.id for other in others)}
            self._trust_of = others, Trust(known, self._revocations())
        return self._trust_of[1]

    def _revocations(self) -> dict[str, revocation.Revocation]:
        found = []
        for statement in self._registry.credentials().revocations:
            try:
                found.append(revocation.read(statement, self._chain))
            except IdentityError:  # the registry keeps none that does not read; its own check says more
                log.exception("a revocation that is kept cannot be read")
        return revocation.effective(revocation.merge(found))

    def _hear_of_revocations(self) -> None:
        """Drop what counts no more, once for each set of statements."""
        statements = frozenset(self._registry.credentials().revocations)
        if statements == self._revoked_seen:
            return
        trust = self.trust()
        for instance_id in trust.revoked:
            with self._crow.transaction() as transaction:
                assert isinstance(transaction, WriteTransaction)
                rows = revoking.drop(transaction, self._crow.instance.id, trust, instance_id)
            log.warning("revoked instance=%s rows_made_anew=%d", instance_id, rows)
            for link in self._links.get(instance_id, []):
                self._on_loop(lambda link=link: link.signal(Signal.END))  # type: ignore[misc]
        self._revoked_seen = statements

    def _feeds(self) -> dict[bytes, ChainFeed]:
        return feeds_of(self.own, self._registry.others())

    # ---- our own feed, doubted and healed -------------------------------------------------------

    def _prepare(self) -> None:
        if self.own.may_sign:
            self._look_at_seal()
        count = backfill.run(self._crow, self.own)
        if count:
            log.info("appended what was written while the replicator was off entries=%d", count)
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            self.intake.retry_parked(transaction)
            if self.own.may_sign and self.own.state(transaction.db).suspect is None:
                self._flush_outbox(transaction)
        if self.suspect() is not None:
            self._doubted_at = time.monotonic()

    def _flush_outbox(self, transaction: WriteTransaction) -> None:
        """What waited for the keys only."""
        if transaction.db.execute_sql("SELECT 1 FROM outbox LIMIT 1").fetchone():
            healing.finish(transaction, self.own, [], all_agree=True)

    def _look_at_seal(self) -> None:
        with self._crow.read() as db:
            feed = self.own.held(db)
            if feed is None:
                return
            seal, head = self._seal.read(), feed.head
            tree_hash = None
            if seal is not None and seal.length <= head.length:
                tree_hash = feed.tree_hash(seal.length)
            reason = doubt(seal, seal is not None and self._seal.is_a_copy(seal), _store_id(db), head, tree_hash)
        if reason is not None:
            self._doubt(reason)

    def _doubt(self, reason: str) -> None:
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            if self.own.state(transaction.db).suspect is not None:
                return
            healing.begin(transaction, self.own, reason)
        self._doubted_at = time.monotonic()
        log.error("this instance's feed is not appended to for now: %s", reason)
        self._signal_links(Signal.CHAIN_CHANGED)

    async def _tend(self) -> None:
        """Once a second: heal if it can be, and try what was parked now and then."""
        tried = time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            try:
                await asyncio.to_thread(self._heal_if_possible)
                if time.monotonic() - tried > PARKED_SECONDS:
                    tried = time.monotonic()
                    await asyncio.to_thread(self._retry_parked)
            except (LocalProtocolError, Exception):  # visible, and tried again
                log.exception("tending the feeds failed, tried again")

    def _retry_parked(self) -> None:
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            self.intake.retry_parked(transaction)

    def _heal_if_possible(self) -> None:
        if self.suspect() is None or not self.own.may_sign:
            return
        needed = {other.instance.id for other in self._registry.others() if not other.revoked}
        heads = self._heads.of(self.own.key)
        waited = time.monotonic() - self._doubted_at
        if needed and (waited < 1.0 or (needed - heads.keys() and waited < HEAL_SECONDS)):
            return
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            db = transaction.db
            here = held_feed(db, self.own.number(db))
            lacking = any(fork == here.fork and length > here.length for fork, length in heads.values())
            if here.contiguous < here.length or (lacking and here.frozen is None and waited < 6 * HEAL_SECONDS):
                return
            agree = not needed - heads.keys() and all(
                fork == here.fork and length <= here.length for fork, length in heads.values()
            )
            if not self._agrees:
                agree = False
            head = healing.finish(transaction, self.own, [fork for fork, _ in heads.values()], all_agree=agree)
            freeze(db, here.number, None)
        self._agrees = True
        log.info("this instance's feed is healed fork=%d length=%d", head.fork, head.length)
        self._signal_links(Signal.CHAIN_CHANGED)
        self._signal_links(Signal.FEEDS_GREW)

    # ---- how far we are -------------------------------------------------------------------------

    def _remaining(self, instance_id: str | None) -> int:
        """Entries that peers announced and that are not applied yet."""
        remaining = 0
        with self._crow.read() as db:
            for key, feed in self._feeds().items():
                if key == self.own.key or instance_id not in (None, feed.instance_id):
                    continue
                number = find_feed(db, key)
                held = 0 if number is None else held_feed(db, number).length
                longest = max(held, self._heads.longest(key))
                remaining += max(0, longest - self.intake.cursor(db, feed.instance_id).length)
        return remaining

    def _is_reached(self, instance_id: str | None) -> bool:
        """Whether there is a peer to have it from."""
        wanted = [other for other in self._registry.others() if _is_wanted(other, instance_id)]
        return all(other.instance.id in self._links for other in wanted)


def _is_wanted(other: KnownInstance, instance_id: str | None) -> bool:
    if other.revoked or other.hidden:
        return False
    return other.gateway_url is not None if instance_id is None else other.instance.id == instance_id


def _store_id(db: peewee.Database) -> str:
    row = db.execute_sql("SELECT store_id FROM clock WHERE id = 1").fetchone()
    return str(row[0]) if row else ""

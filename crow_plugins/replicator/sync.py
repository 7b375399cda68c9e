"""InstanceSyncManager: keeps this database and those of the other instances equal, for as long as a process serves.

It is where the rooms of sync meet: links bring what peers say, the shelf stores it, the uptake applies it, the mending
watches over our own feed, the dialler sees to it that there are links. What each of them does is its own business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

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
    SyncedTable,
    SyncProgress,
    Transaction,
    Trouble,
)
from crow_plugins.feed import Conflict as Branches
from crow_plugins.feed import RemoteProtocolError
from crow_plugins.feed.exchange import Announced, FeedEvent, Forked, Grew
from crow_plugins.identity.keys import KeyPair
from crow_plugins.lease import Lease
from crow_plugins.premises import Premises
from crow_plugins.replicator import disputes, membership, rejections
from crow_plugins.replicator.appending import Appending
from crow_plugins.replicator.applying import Applying
from crow_plugins.replicator.connections import Connections
from crow_plugins.replicator.dialling import Dialler
from crow_plugins.replicator.failing import Failing, is_passing
from crow_plugins.replicator.feed_storage import all_feeds, find_feed, held_feed
from crow_plugins.replicator.history import ancestor
from crow_plugins.replicator.inbox import Signal
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.link import Given, Link
from crow_plugins.replicator.measuring import Measuring
from crow_plugins.replicator.membership import Introduction
from crow_plugins.replicator.mending import Mending
from crow_plugins.replicator.noticing import News, Noticing
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.seal import SealFile
from crow_plugins.replicator.shelf import ReadingShelf, StoringShelf
from crow_plugins.replicator.standing import Standings
from crow_plugins.replicator.status import statuses, troubles
from crow_plugins.replicator.transport import ByteStream
from crow_plugins.replicator.trusting import Trusting
from crow_plugins.replicator.uptake import Uptake
from crow_plugins.replicator.wake import Listeners, Wake
from crow_plugins.running import is_locked
from crow_plugins.store import StoreUnavailable, WriteTransaction
from crow_plugins.ticking import next_tick

log = logging.getLogger(__name__)

DIALLING = "sync.lock"  # held by the one process of a home that dials
TEND_SECONDS = 1.0
CONTACT_SECONDS = 10.0  # between two times that the registry is told who is connected
AGAIN_SECONDS = 1.0  # after a disk or a database that failed
LOOK_SECONDS = 0.25
RECEIVING, APPLYING = "receiving", "applying"  # what may fail for a while
RECENT_SECONDS = 150  # contact is noted about once a minute
REVOKED = "this machine was revoked; save what only this machine has with crow export, then join again in an empty home"


class InstanceSyncManager:
    """One instance's side of the sync. Make it in `setup`; `start` and `stop` it on the event loop."""

    def __init__(self, crow: Crow, premises: Premises, registry: InstanceRegistry) -> None:
        self._crow, self._premises, self._registry = crow, premises, registry
        self._chain = bytes.fromhex(premises.keyring.identity.chain)
        self.own = OwnFeed(premises.keyring)
        self._trusting = Trusting(crow, registry, self.own, self._chain)
        self._intake = Intake(self.own, Applying(self.own.instance_id, self._trusting.now, premises.table_is_on))
        self._uptake = Uptake(crow, self.own, self._intake, self._trusting, self._tables_on)
        self._failing = Failing(premises.home.folder)
        self._mending = Mending(crow, self.own, self._intake, SealFile(premises.home.folder))
        self._connections = Connections(premises.keyring.identity.instance_id)
        self._appending = Appending(self.own, self._appended, self._own_grew)
        self._standings = Standings(self.own, self._trusting, self._intake, self._connections)
        self._measuring = Measuring(crow, self._standings)
        self._noticing = Noticing(crow, self.own, registry, lambda: (premises.store.commits(), premises.manifest))
        self._stirred = True  # something happened that tending has to look at
        self._tended = float("-inf")  # when it last did
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._dialler: Dialler | None = None
        self._wake: Wake | None = None
        self._listeners = Listeners(premises.home.folder)

    # ---- what the hooks ask ---------------------------------------------------------------------

    def look_back(self) -> None:
        """Doubt our feed if this database is an older one than was announced, before anything is written to it."""
        self._mending.look_back()

    def local_write(self, change: Change, transaction: Transaction) -> None:
        self._appending.stage(change, transaction)

    async def start(self, *, lease: Lease | None = None) -> None:
        """Bring our feed up to what was written, look whether it is to be trusted, and begin.

        `lease` is the right to dial; without one of its own, the process dials whatever others do.
        """
        self._came = asyncio.Event()
        self._connections.serve_on(asyncio.get_running_loop())
        await asyncio.to_thread(self._failing.begin)
        await asyncio.to_thread(self._mending.begin)
        self._wake = Wake(self._premises.home.folder, told=self._written_beside)
        self._wake.start()
        self._tasks = [asyncio.create_task(self._apply_always()), asyncio.create_task(self._tend_always())]
        self._dialler = Dialler(self._registry, lease, self._shut_out, self._connections.ids, self._dialled)
        self._dialler.start()
        self._came.set()

    def dial_nobody(self) -> None:
        """Let the connections that are there go without making new ones, until `stop`. On the event loop."""
        if self._dialler is not None:
            self._dialler.rest()

    async def stop(self) -> None:
        if self._wake is not None:  # first: a socket that outlives an interrupted stop would be told of writes for ever
            self._wake.stop()
            self._wake = None
        if self._dialler is not None:
            await self._dialler.stop()
        for link in self._connections.all():
            link.signal(Signal.END)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._mending.seal)
        self._connections.serve_on(None)

    # ---- the service ----------------------------------------------------------------------------

    def status(self) -> list[FeedStatus]:
        others, connected = self._registry.others(), self._connected_now()
        with self._crow.read() as db:
            held = {feed.key: feed for feed in all_feeds(db)}
            announced = {
                feed.instance_id: self._standings.longest(key, held.get(key))
                for key, feed in self._trusting.feeds().items()
            }
            return statuses(db, self.own, self._crow.instance, others, announced, connected, self._crow.now())

    async def sync_now(self, instance_id: str | None = None, wait_seconds: float = 0.0) -> SyncProgress:
        begun = time.monotonic()
        if self._dialler is not None:
            self._dialler.dial_now(instance_id)
        self._came.set()
        while True:
            remaining = await asyncio.to_thread(self._remaining, instance_id)
            missing, seconds = await asyncio.to_thread(self._missing, instance_id), time.monotonic() - begun
            complete = remaining == 0 and not missing
            if complete or seconds >= wait_seconds:
                return SyncProgress(complete, remaining, round(seconds, 3), missing)
            await self._change_or(min(LOOK_SECONDS, wait_seconds - seconds))

    async def sync_once(self, named: str | None, wait_seconds: float) -> SyncProgress:
        """The same for a command, in a process that does not serve. Lets a peer in that was shut out."""
        found = None if named is None else await asyncio.to_thread(self._registry.find, named)
        instance_id = None if found is None else found.instance.id
        await asyncio.to_thread(self._release, instance_id)
        await self.start()
        try:
            return await self.sync_now(instance_id, wait_seconds)
        finally:
            await self.stop()

    def troubles(self) -> list[Trouble]:
        with self._crow.read() as db:
            return troubles(db)

    def is_caught_up(self) -> bool:
        return self.suspect() is None and self._remaining(None) == 0

    def ancestor(self, conflict: Conflict, transaction: Transaction) -> Data | None:
        return ancestor(transaction.db, conflict)

    def suspect(self) -> str | None:
        return self._mending.suspect()

    def failing(self) -> str | None:
        if self.own.instance_id in self._trusting.now().revoked:
            return REVOKED
        return self._failing.said(self._crow.now())

    def lease(self) -> Lease:
        """The right to dial, which one process of the home has at a time."""
        return Lease(self._premises.home.folder / DIALLING)

    def connected(self) -> frozenset[str]:
        """The ids of the instances that are connected now."""
        return self._connections.ids()

    # ---- what links ask (see `link.House`) ------------------------------------------------------

    async def converse(self, stream: ByteStream, *, dialled: bool) -> Link:
        """Hold one connection to its end; why it ended is logged, and whom it was with the link says."""
        link, begun = Link(stream, self, dialled=dialled), time.monotonic()
        try:
            await link.run()
        except TimeoutError:
            log.info("peer is silent, the connection ends peer=%s", link.peer and link.peer.id)
        except CrowError as error:
            log.warning("connection ended peer=%s reason=%s", link.peer and link.peer.id, error)
            if is_passing(error):
                await asyncio.to_thread(self._failing.note, RECEIVING, error, self._crow.now())
        except Exception:  # ours: the next connection begins anew
            log.exception("connection failed peer=%s", link.peer and link.peer.id)
        finally:
            self._stirred = True
            if self._connections.leave(link) and link.peer is not None:
                self._measuring.lag.left(link.peer.id)
                if self._dialler is not None:
                    self._dialler.left(link.peer.id, time.monotonic() - begun)
                await asyncio.to_thread(self._gone, link.peer.id)
        return link

    def _gone(self, peer_id: str) -> None:
        """Nobody probes an instance without an address, so its leaving is all that is known."""
        if any(other.instance.id == peer_id and other.gateway_url is None for other in self._registry.others()):
            try:
                self._registry.seen(peer_id, "offline")
            except StoreUnavailable as error:  # it is noted again with the next contact
                _complain("that a peer left is not noted", error)

    @property
    def noise_key(self) -> KeyPair:
        return self._premises.keyring.device.noise

    def introduction(self, link: Link) -> bytes | None:
        session = link.session.wire.session
        assert session is not None
        others = self._registry.others()
        if link.peer is None and not any(_has_key(other, session.remote_public_key) for other in others):
            return None
        own = self._premises.keyring.identity.certificate.encode()
        known = self._registry.credentials()
        return membership.introduction(own, known, session, link.session.wire.initiator, self._signed)

    def check(self, link: Link, said: bytes) -> Introduction:
        session, initiator = link.session.wire.session, link.session.wire.initiator
        assert session is not None
        found = membership.check(said, session, initiator, self._chain, self._trusting.revoked(), self._crow.now())
        with self._crow.read() as db:
            if found.certificate.instance_id in rejections.quarantined(db):
                raise membership.Quarantined
        return found

    def welcome(self, link: Link, introduction: Introduction) -> None:
        changed = self._registry.learn(introduction.heard)
        peer_id = introduction.certificate.instance_id
        if peer_id in self._trusting.revoked():
            raise membership.PeerRevoked
        self._registry.seen(peer_id, "online")
        if changed:
            self._connections.signal(Signal.CHAIN_CHANGED, but=link)
            self._connections.on_loop(self._came.set)
        self._connections.on_loop(lambda: self._connections.admit(link, peer_id))

    def feeds(self, link: Link) -> Sequence[Given]:
        """Frozen feeds too: what heals them comes over the same channel."""
        own_is_given = self.own.may_sign and self.suspect() is None
        return [
            Given(key, own_is_given if own else True, own)
            for key in self._trusting.feeds()
            for own in (key == self.own.key,)
        ]

    def work(self, link: Link, *, grown: bool) -> list[FeedEvent]:
        assert link.peer is not None
        self._stirred = True
        self._mending.seal_for_now()
        self._measuring.lag.reached(self._mending.sealed_length, time.monotonic())
        try:
            events = self._worked(link, None if grown else ())
        except RemoteProtocolError as error:
            self._reject(link, error)
            raise
        for event in events:
            self._note(link.peer.id, event)
        if any(isinstance(event, Grew) for event in events):
            self._connections.on_loop(self._came.set)
            self._connections.signal(Signal.FEEDS_GREW, but=link)
        return events

    def _worked(self, link: Link, only: Iterable[bytes] | None) -> list[FeedEvent]:
        feeds = self._trusting.feeds()
        if not link.session.will_store:
            with self._crow.read() as db:
                return link.session.work(ReadingShelf(db, feeds), only)
        with self._crow.transaction() as transaction:
            assert isinstance(transaction, WriteTransaction)
            shelf = StoringShelf(transaction, feeds, self.own, self._intake)
            events = link.session.work(shelf, only)
            shelf.finish()
            self._uptake.take_with_their_blocks(transaction, shelf.came_alone())
        self._failing.over(RECEIVING)
        return events

    def _note(self, peer_id: str, event: FeedEvent) -> None:
        """What a peer's words mean beyond its own connection."""
        match event:
            case Announced(key=key, fork=fork, length=length):
                self._connections.told(peer_id, key, fork, length)
                if key == self.own.key:
                    self._measuring.lag.told(peer_id, length, time.monotonic())
                self._report_shorter(peer_id, key, fork, length)
                if key == self.own.key and self._mending.compare(peer_id, fork, length):
                    self._connections.signal(Signal.CHAIN_CHANGED)
            case Forked(key=key, conflict=found):
                self._freeze(key, found)
                if key == self.own.key and self._mending.other_branch(peer_id):
                    self._connections.signal(Signal.CHAIN_CHANGED)
            case _:
                pass

    def _report_shorter(self, peer_id: str, key: bytes, fork: int, length: int) -> None:
        """Who wrote a feed has less of it than we: it will be given back, and must not be taken for a cut."""
        with self._crow.read() as db:
            number = find_feed(db, key) if self._trusting.feeds()[key].instance_id == peer_id else None
            held = None if number is None else held_feed(db, number)
        if held is not None and (fork, length) < (held.fork, held.length):
            log.warning(
                "peer has less of its own feed than is held here peer=%s there=%d here=%d",
                *(peer_id, length, held.length),
            )

    def _freeze(self, key: bytes, found: Branches) -> None:
        """Keep what shows two branches of a feed, and rescue what is held of one of them."""
        instance_id = self._trusting.feeds()[key].instance_id
        if instance_id in self._trusting.now().revoked:
            return
        with self._crow.transaction() as transaction:
            is_news = disputes.learn(transaction.db, disputes.heads_of(instance_id, found), found)
        if is_news:
            log.error("two branches of a feed are known instance=%s", instance_id)
            self._connections.on_loop(self._came.set)

    def _reject(self, link: Link, error: RemoteProtocolError) -> None:
        """Note what a peer sent that cannot be; after a few of them every connection to it ends."""
        assert link.peer is not None
        peer_id, key = link.peer.id, link.session.at_fault or self.own.key
        instance_id = self._trusting.feeds()[key].instance_id
        with self._crow.transaction() as transaction:
            seq = _held_length(transaction.db, key)
            rejection = rejections.Rejection(instance_id, peer_id, seq, error.code, self._crow.now())
            quarantined = rejections.add(transaction.db, rejection)
        log.warning(
            "entry rejected instance=%s seq=%d peer=%s reason=%s quarantined=%s",
            *(instance_id, seq, peer_id, error.code, quarantined),
        )
        self._crow.notify("entry_rejected", instance_id=instance_id, seq=seq, reason=error.code)
        if quarantined:
            self._connections.on_loop(lambda: self._end(peer_id))

    def _end(self, peer_id: str) -> None:
        for link in self._connections.of(peer_id):
            link.signal(Signal.END)

    def _signed(self, payload: bytes) -> bytes:
        return self._premises.keyring.sign(membership.PURPOSE, payload)

    def _tables_on(self) -> frozenset[str]:
        tables = self._premises.contributions("register_synced_tables", SyncedTable)
        return frozenset(table.name for _, table in tables if self._premises.table_is_on(table.name))

    def _shut_out(self) -> frozenset[str]:
        with self._crow.read() as db:
            return rejections.quarantined(db)

    def _dialled(self, stream: ByteStream) -> asyncio.Task[Link]:
        return asyncio.create_task(self.converse(stream, dialled=True))

    # ---- what was written here ------------------------------------------------------------------

    def _appended(self, change: Change, seq: int) -> None:
        self._crow.notify("entry_appended", change=change, seq=seq)

    def _own_grew(self) -> None:
        """After the commit, in whatever process and thread wrote."""
        self._measuring.lag.wrote(time.monotonic())
        if self._wake is not None:
            self._connections.signal(Signal.FEEDS_GREW)
            self._wake.tell()
        else:
            self._mending.seal_first()
            self._listeners.tell()

    def _written_beside(self) -> None:
        """Another process of the home appended entries."""
        self._measuring.lag.wrote(time.monotonic())
        for link in self._connections.all():
            link.signal(Signal.FEEDS_GREW)

    # ---- what goes on by itself -----------------------------------------------------------------

    async def _apply_always(self) -> None:
        failed: str | None = None
        while True:
            await self._came.wait()
            self._came.clear()
            try:
                await asyncio.to_thread(self._apply)
                failed = None
            except Exception as error:  # a full or failing disk, a busy database: visible, and tried again
                if str(error) != failed:
                    _complain("applying failed, tried again in a second", error)
                failed = str(error)
                await asyncio.to_thread(self._failing.note, APPLYING, error, self._crow.now())
                await asyncio.sleep(AGAIN_SECONDS)
                self._came.set()
            self._connections.changed.set()

    def _apply(self) -> None:
        for instance_id in self._trusting.drop_what_counts_no_more():
            self._connections.on_loop(lambda peer_id=instance_id: self._end(peer_id))  # type: ignore[misc]
        if self._uptake.take_all():
            self._stirred = True  # what is parked is to be tried again
        if self._mending.look_for_branches():
            self._connections.signal(Signal.CHAIN_CHANGED)
        if self.is_caught_up():
            self._premises.sweep_conflicts()
        self._failing.over(APPLYING)

    async def _tend_always(self) -> None:
        failed: str | None = None
        while True:
            try:
                if self._is_to_tend():
                    await asyncio.to_thread(self._tend)
                    if failed is not None and self._dialler is not None:
                        self._dialler.dial_now(None)  # who left because of it need not be waited for
                    failed = None
            except Exception as error:  # visible, once for each reason, and tried again
                if str(error) != failed:
                    _complain("tending the feeds failed, tried again", error)
                failed = str(error)
            await next_tick(TEND_SECONDS)

    def _is_to_tend(self) -> bool:
        """Asked once a second; where nothing happened, no thread is woken and nothing read, but for now and then."""
        is_time = time.monotonic() - self._tended >= CONTACT_SECONDS
        return is_time or self._stirred or not self._measuring.is_still or self._noticing.is_any()

    def _tend(self) -> None:
        self._tended = time.monotonic()
        news = self._noticing.look()
        if news.stirred or news.chain:
            self._stirred = True
            self._tell_of(news)
        stirred, self._stirred = self._stirred, False
        try:
            self._look_after(stirred, suspect=news.suspect)
        except BaseException:
            self._stirred = True
            raise

    def _tell_of(self, news: News) -> None:
        """It may have been another process that committed: whatever it was, nobody here has heard of it yet."""
        if news.feeds:
            self._connections.signal(Signal.FEEDS_GREW)
        if news.chain:
            self._connections.signal(Signal.CHAIN_CHANGED)
        self._connections.on_loop(self._came.set)

    def _look_after(self, stirred: bool, *, suspect: bool) -> None:
        if stirred:
            self._mending.seal()
        if self._uptake.retry_parked():  # then it is also time for orphans, and for policies that failed
            self._connections.on_loop(self._came.set)
        if stirred or not self._measuring.is_still:
            self._measuring.look()
        for peer_id in self._connections.ids():
            self._registry.seen(peer_id, "online")
        if stirred or suspect:
            self._heal()

    def _heal(self) -> None:
        needed = frozenset(other.instance.id for other in self._registry.others() if not other.revoked)
        if self._mending.heal(needed, self._connections.heads(self.own.key)):
            self._connections.signal(Signal.CHAIN_CHANGED)
            self._connections.signal(Signal.FEEDS_GREW)
            self._connections.on_loop(self._came.set)

    def _connected_now(self) -> frozenset[str]:
        """In a process that does not serve: who was in contact with one that does, a moment ago."""
        if self._connections.serving:
            return self._connections.ids()
        if not is_locked(self._premises.home.folder / DIALLING):
            return frozenset()  # no process of this home serves
        since = self._crow.now() - RECENT_SECONDS
        others = self._registry.others()
        return frozenset(
            each.instance.id for each in others if each.status == "online" and (each.last_seen or 0) > since
        )

    # ---- how far we are -------------------------------------------------------------------------

    def _remaining(self, instance_id: str | None) -> int:
        """Entries that peers announced and that are not applied yet."""
        with self._crow.read() as db:
            standings = self._standings.of_others(db)
        return sum(each.behind for whose, each in standings.items() if instance_id in (None, whose))

    def _missing(self, instance_id: str | None) -> list[str]:
        """Who is not connected of all who can be, or of the one that is asked for: by name."""
        wanted = [other.instance for other in self._registry.others() if _is_wanted(other, instance_id)]
        return sorted(instance.name for instance in wanted if instance.id not in self._connections.ids())

    async def _change_or(self, seconds: float) -> None:
        self._connections.changed.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._connections.changed.wait()
        except TimeoutError:
            return

    def _release(self, instance_id: str | None) -> None:
        with self._crow.transaction() as transaction:
            rejections.release(transaction.db, instance_id)


def _held_length(db: peewee.Database, key: bytes) -> int:
    number = find_feed(db, key)
    return 0 if number is None else held_feed(db, number).contiguous


def _complain(what: str, error: Exception) -> None:
    """A full disk is said in a line each time, and not with where it was met."""
    log.error("%s: %s", what, error, exc_info=None if is_passing(error) else error)


def _has_key(other: KnownInstance, noise_key: bytes) -> bool:
    return other.noise_key == noise_key and not other.revoked


def _is_wanted(other: KnownInstance, instance_id: str | None) -> bool:
    if other.revoked or other.hidden:
        return False
    return other.gateway_url is not None if instance_id is None else other.instance.id == instance_id

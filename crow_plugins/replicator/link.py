"""One connection to one peer, from its first byte to its end.

What comes is taken in turns, each on a worker thread and within one transaction: bytes in, checked, stored, answered,
bytes out. Between the turns nothing is shared with anybody. The peer is let in once it has shown its certificate;
before that it may send a handshake and its introduction, within a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crow_plugins.feed.channels import Closed, Message, Offered, Open, Opened
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Ended, Secured
from crow_plugins.feed.wire import Event, KeepAlive, Wire
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.keys import KeyPair
from crow_plugins.limits import SILENCE_SECONDS, WELCOME_SECONDS
from crow_plugins.replicator import membership
from crow_plugins.replicator.inbox import Inbox, Signal, Turn
from crow_plugins.replicator.membership import Introduction, MembershipRefused
from crow_plugins.replicator.transport import ByteStream
from crow_plugins.ticking import next_tick

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15.0
SLICE_BYTES = 64 * 1024
SIGN_BYTES_MAX = 64  # a sign of life is shorter, and so is hardly anything else


class House(Protocol):
    """What a link asks of those who keep the feeds. All but `noise_key` is database work."""

    @property
    def noise_key(self) -> KeyPair: ...

    def introduction(self, link: Link) -> bytes | None:
        """What we say of ourselves; None while the peer's key is nobody's that we know."""

    def check(self, link: Link, said: bytes) -> Introduction:
        """Raises a `MembershipRefused`."""

    def welcome(self, link: Link, introduction: Introduction) -> None:
        """A peer has shown who it is: learn what it knows."""

    def feeds(self, link: Link) -> Sequence[Given]:
        """What to replicate with a welcome peer."""

    def work(self, link: Link, *, grown: bool) -> list[FeedEvent]:
        """One turn of the session in a transaction: what the peer's words call for; with `grown`, every feed."""


@dataclass(frozen=True, slots=True)
class Given:
    """A feed by its key: whether it is given or only taken, and whether it is written here."""

    key: bytes
    upload: bool
    own: bool


@dataclass(slots=True)
class Peer:
    """Who is at the other end."""

    certificate: Certificate

    @property
    def id(self) -> str:
        return self.certificate.instance_id


class Link:
    """One connection. `peer` is None until it has shown who it is."""

    def __init__(self, stream: ByteStream, house: House, *, dialled: bool) -> None:
        """`dialled`: we opened it."""
        self._stream, self._house, self.dialled = stream, house, dialled
        wire = Wire(initiator=dialled, static=house.noise_key, randomness=os.urandom(RANDOM_BYTES))
        self.session = Replication(wire, allow_push=True)
        self.peer: Peer | None = None
        self.refused: MembershipRefused | None = None
        self._inbox = Inbox()
        self._said = b""
        self._ended = False

    def signal(self, signal: Signal) -> None:
        """Have a turn soon. On the event loop."""
        self._inbox.signal(signal)

    async def run(self) -> None:
        """Until either side ends it. Raises a `RemoteProtocolError` or `MembershipRefused` if the peer is at fault."""
        reading = asyncio.create_task(self._read())
        keeping = asyncio.create_task(self._keep_alive())
        try:
            await self._send(self.session.data_to_send())
            async with asyncio.timeout(WELCOME_SECONDS) as welcome:
                while not self._ended:
                    await self._next_turn()
                    if self.peer is not None and welcome.when() is not None:
                        welcome.reschedule(None)
                        self._inbox.welcome()
        finally:
            for task in (reading, keeping):
                task.cancel()
            await asyncio.gather(reading, keeping, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stream.close()

    async def _next_turn(self) -> None:
        turn = await self._inbox.take()
        if Signal.KEEP_ALIVE in turn.signals and self._inbox.silent_seconds() > SILENCE_SECONDS:
            raise TimeoutError
        if turn.signals <= {Signal.KEEP_ALIVE} and len(turn.data) <= SIGN_BYTES_MAX and self.peer is not None:
            heard = self._sign_of_life(turn.data)
            if heard is None and not self.session.has_work:  # most turns of most days: no work for a thread
                await self._send(self._kept_alive() if turn.signals else self.session.data_to_send())
                return
            await self._send(await asyncio.to_thread(self._turn, Turn(b"", turn.signals), heard))
        else:
            await self._send(await asyncio.to_thread(self._turn, turn))
        while self.session.has_work and not self._ended:
            await self._send(await asyncio.to_thread(self._work))

    async def _read(self) -> None:
        while data := await self._stream.receive():
            await self._inbox.put(data)
        self._inbox.signal(Signal.END)

    async def _keep_alive(self) -> None:
        while True:
            await next_tick(KEEP_ALIVE_SECONDS)  # of all links at once
            self.signal(Signal.KEEP_ALIVE)

    async def _send(self, data: bytes) -> None:
        if data:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._stream.send(data)

    def _sign_of_life(self, data: bytes) -> Event | None:
        """Take so little that it costs less than a thread; what it says beyond that the peer lives is for a thread."""
        if not data:
            return None
        self.session.receive_data(data)
        return self.session.next_event()

    def _kept_alive(self) -> bytes:
        self.session.say(KeepAlive())
        return self.session.data_to_send()

    # ---- a turn, on a worker thread -------------------------------------------------------------

    def _turn(self, turn: Turn, heard: Event | None = None) -> bytes:
        if heard is not None:
            self._heard(heard)
            self._hear()
        for start in range(0, len(turn.data), SLICE_BYTES):
            self.session.receive_data(turn.data[start : start + SLICE_BYTES])
            self._hear()
        if Signal.END in turn.signals:
            self._ended = True
            return b""
        if Signal.KEEP_ALIVE in turn.signals and self.peer is not None:
            self.session.say(KeepAlive())
        if Signal.CHAIN_CHANGED in turn.signals:
            self._chain_changed()
        return self._work(grown=bool(turn.signals & {Signal.FEEDS_GREW, Signal.CHAIN_CHANGED}))

    def _work(self, *, grown: bool = False) -> bytes:
        if self.peer is not None and (grown or self.session.has_work):
            self._house.work(self, grown=grown)
        return self.session.data_to_send()

    def _hear(self) -> None:
        while (event := self.session.next_event()) is not None:
            self._heard(event)

    def _heard(self, event: Event) -> None:
        match event:
            case Secured():
                self.session.say(Open(membership.CHANNEL))
            case Offered(channel=membership.CHANNEL):
                self.session.say(Open(membership.CHANNEL))
            case Opened(channel=membership.CHANNEL):
                self._introduce()
            case Message(channel=membership.CHANNEL, payload=said):
                self._welcome(said)
            case Ended() | Closed(channel=membership.CHANNEL):
                self._ended = True
            case _:
                pass

    def _introduce(self) -> None:
        """Say who we are, and again whenever we know more of the chain."""
        said = self._house.introduction(self)
        if said is not None and said != self._said:
            self.session.say(Message(membership.CHANNEL, 0, said))
            self._said = said

    def _welcome(self, said: bytes) -> None:
        try:
            introduction = self._house.check(self, said)
        except MembershipRefused as error:
            self.refused = error
            raise
        if self.peer is not None and introduction.certificate.instance_id != self.peer.id:
            raise membership.NotAMember
        self.peer = Peer(introduction.certificate)
        self._house.welcome(self, introduction)
        self._introduce()
        self._offer()

    def _chain_changed(self) -> None:
        if self.peer is not None:
            self._introduce()
            self._offer()

    def _offer(self) -> None:
        offered = self._house.feeds(self)
        for feed in offered:
            self.session.offer(feed.key, upload=feed.upload, push=feed.own)
        for key in self.session.keys - {feed.key for feed in offered}:
            self.session.withdraw(key)

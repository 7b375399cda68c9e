"""Many feeds between two peers over one connection: each has a channel of its own, and its turn.

    session = Replication(wire)
    session.offer(key)                       for every feed that is held here, as soon as the peer is welcome
    session.receive_data(data)               bytes of the transport, 64 KiB at a time
    while (event := session.next_event()): … what is not of a feed: the caller's own channels, the end
    events = session.work(shelf)             everything that touches storage, in the caller's transaction
    send(session.data_to_send())             after the commit; or session.rolled_back(), and then work again

Only `work` reads or stores; all else is memory. Whoever grew or cut a feed calls `work`, and the peer is told. What
`work` wants said stays here, unsent, until anything but `rolled_back` is called: nobody is told of what might not stay.
The requests under way, and the answers of one turn, share what one connection may cost. A peer gets no word of a feed
whose key it has not shown to know; feeds that it offers and that are not held here are declined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from crow_plugins.feed import capability, messages
from crow_plugins.feed.channels import Channel, Close, Closed, Message, Offered, Open, Opened
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import RemoteProtocolError, WrongState
from crow_plugins.feed.exchange import Exchange, FeedClosed, FeedEvent, FeedOpened, Share
from crow_plugins.feed.hashing import discovery_key
from crow_plugins.feed.limits import ANSWER_BYTES_MAX, IN_FLIGHT_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX
from crow_plugins.feed.storage import Batch
from crow_plugins.feed.wire import Command, Event, Wire


class Shelf(Protocol):
    """Where the feeds lie, within one transaction."""

    def feed(self, key: bytes) -> Feed:
        """A feed that was offered."""

    def store(self, feed: Feed, batch: Batch) -> None:
        """Keep what was checked."""


class Replication:
    """One side of one connection."""

    def __init__(self, wire: Wire, *, allow_push: bool = False) -> None:
        """`allow_push`: the peer may send a new block of a feed before it is asked for it."""
        self._wire, self._allow_push = wire, allow_push
        self.at_fault: bytes | None = None  # the feed of which the peer sent what `work` refused
        self._offered: dict[Channel, Exchange] = {}
        self._open: deque[Exchange] = deque()  # in turn
        self._out: list[bytes] = []
        self._happened: list[FeedEvent] = []  # besides what `work` finds
        self._unsure: list[Message] = []  # of the last work: its transaction may still roll back
        self._told: list[FeedEvent] = []  # by the last work, of what happened
        self._before: list[tuple[Exchange, Exchange]] = []  # as worked with, and as it was before

    @property
    def wire(self) -> Wire:
        return self._wire

    @property
    def keys(self) -> frozenset[bytes]:
        """The feeds that both sides have opened."""
        return frozenset(exchange.key for exchange in self._open)

    @property
    def has_work(self) -> bool:
        """Whether `work` has anything to do without new data."""
        return bool(self._happened) or any(exchange.has_work for exchange in self._open)

    @property
    def will_store(self) -> bool:
        """Whether `work` has anything to store, and not only to read."""
        return any(exchange.will_store for exchange in self._open)

    @property
    def is_behind(self) -> bool:
        """Whether something is still on its way here."""
        return any(exchange.is_behind for exchange in self._open)

    def offer(self, key: bytes, *, upload: bool = True, push: bool = False) -> None:
        """Replicate a feed with the peer, now or once the peer has it too; again, to change whether it is given.

        With `push` a peer that allows it is sent new blocks before it asks: for the feed that is written here, since
        of any other it may have them from whoever writes it.

        Raises `WrongState` before the peer is known.
        """
        channel = _channel(key)
        known = self._offered.get(channel)
        if known is not None:
            known.upload, known.push = upload, push
            return
        opening = self._opening(channel, key)
        self._offered[channel] = Exchange(key, upload=upload, push=push, allow_push=self._allow_push)
        self.say(opening)

    def withdraw(self, key: bytes) -> None:
        """End the exchange of a feed."""
        channel = _channel(key)
        if channel in self._offered:
            self._end(self._offered.pop(channel))
            self.say(Close(channel))

    def say(self, *commands: Command) -> None:
        """Send what is not of a feed: the caller's own channels, a keep-alive."""
        self._settle()
        self._out.append(self._wire.send(*commands))

    def receive_data(self, data: bytes) -> None:
        """Take what came; no bytes at all mean the end. Then ask for events, and do the work, before taking more."""
        self._settle()
        self._wire.receive_data(data)

    def next_event(self) -> Event | None:
        """What happened next that is not of a feed; None when more bytes are needed.

        Handle each before asking for the next. Raises a `RemoteProtocolError`, then always.
        """
        self._settle()
        while (event := self._wire.next_event()) is not None:
            try:
                ours = self._heard(event)
            except RemoteProtocolError as error:
                self._wire.refuse(error)
                raise
            if not ours:
                return event
        return None

    def work(self, shelf: Shelf, only: Iterable[bytes] | None = None) -> list[FeedEvent]:
        """Do what the peer's messages call for, and say what is new of the feeds, or of `only` some, in turn.

        Everything that touches storage. Raises a `RemoteProtocolError`; then roll back, and end the connection. After
        any other error all is as before, for another try.
        """
        self._settle()
        self._told, self._happened = self._happened, []
        wanted = None if only is None else {*only, *(each.key for each in self._told if isinstance(each, FeedOpened))}
        events = list(self._told)
        share = self._share()
        try:
            for _ in range(len(self._open)):
                exchange = self._open[0]
                self._open.rotate(-1)
                if wanted is None or exchange.key in wanted or exchange.has_work:
                    events += self._work(exchange, shelf, share)
        except RemoteProtocolError as error:
            self._unsure.clear()
            self._wire.refuse(error)
            self.at_fault = exchange.key
            raise
        except Exception:  # of the caller's storage
            self.rolled_back()
            raise
        return events

    def rolled_back(self) -> None:
        """The transaction of the last `work` left nothing behind, and neither has that work: do it again."""
        for worked, before in self._before:
            self._offered[_channel(before.key)] = before
            self._open[self._open.index(worked)] = before
        self._happened = [*self._told, *self._happened]
        for kept in (self._told, self._before, self._unsure):
            kept.clear()

    def data_to_send(self) -> bytes:
        """Bytes for the peer: all that is due. Only after the commit."""
        self._settle()
        out, self._out = self._out, []
        return b"".join([*out, self._wire.data_to_send()])

    # ---- below ----------------------------------------------------------------------------------

    def _work(self, exchange: Exchange, shelf: Shelf, share: Share) -> list[FeedEvent]:
        self._before.append((exchange, exchange.copy()))
        say, events = exchange.work(shelf.feed(exchange.key), shelf.store, share)
        channel = _channel(exchange.key)
        self._unsure += (Message(channel, *messages.encode(each)) for each in say)
        return events

    def _settle(self) -> None:
        """The last work was committed: what it wants said is said."""
        if self._unsure:
            self._out.append(self._wire.send(*self._unsure))
            self._unsure.clear()
        self._told.clear()
        self._before.clear()

    def _share(self) -> Share:
        asking = max(1, sum(exchange.is_behind for exchange in self._open))
        asked = max(1, sum(exchange.is_asked for exchange in self._open))
        return Share(REQUESTS_IN_FLIGHT_MAX // asking, IN_FLIGHT_BYTES_MAX // asking, ANSWER_BYTES_MAX // asked)

    def _heard(self, event: Event) -> bool:
        """Take what is of a feed; False for what is not."""
        if not isinstance(event, Offered | Opened | Message | Closed) or event.channel.protocol != messages.PROTOCOL:
            return False
        channel = event.channel
        exchange = self._offered.get(channel)
        if isinstance(event, Message):  # nearly all that comes
            message = messages.decode(event.type, event.payload) if exchange is not None else None
            if exchange is not None and message is not None:
                exchange.take(message)
            return True
        match event:
            case Offered() if exchange is None:
                self.say(Close(channel))
            case Offered(handshake=handshake) if exchange is not None:
                self._check(handshake, exchange)
                self.say(self._opening(channel, exchange.key))
            case Opened(handshake=handshake) if exchange is not None:
                self._check(handshake, exchange)
                self._open.append(exchange)
                self._happened.append(FeedOpened(exchange.key))
            case Closed() if exchange is not None:  # the peer may have it later, and asks then
                if exchange in self._open:
                    self._happened.append(FeedClosed(exchange.key))
                self._end(exchange)
                self._offered[channel] = exchange.anew()
        return True

    def _opening(self, channel: Channel, key: bytes) -> Open:
        session = self._wire.session
        if session is None:
            raise WrongState("the peer is not known yet")
        return Open(channel, capability.prove(session.handshake_hash, self._wire.initiator, key))

    def _check(self, handshake: bytes, exchange: Exchange) -> None:
        session = self._wire.session
        assert session is not None
        capability.verify(handshake, session.handshake_hash, not self._wire.initiator, exchange.key)

    def _end(self, exchange: Exchange) -> None:
        if exchange in self._open:
            self._open.remove(exchange)


def _channel(key: bytes) -> Channel:
    return Channel(messages.PROTOCOL, discovery_key(key))

"""Channels: many conversations on one secret stream, as npm's protomux holds them.

A channel is named by a protocol and an id (for a feed its discovery key) and carries numbered messages once both
sides have opened it. Here it is told what happened and says what to send; it knows no stream, no feed and no message.

    we ask          `Open`   → `Opened`, or `Closed` if the peer will not
    the peer asks   `Offered` → `Open` to agree (→ `Opened`), or `Close` to decline
    then            `Message` either way, until one side's `Close`, which the other is told as `Closed`

On the wire each side numbers its own channels from 1 and uses a number again once the peer has answered for it. An
`Open` is answered by an open of the same name or by a reject; answers come in the order of the asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from crow_plugins.feed import encoding
from crow_plugins.feed.batches import BATCH, CONTROL, Part, Parts, frames
from crow_plugins.feed.encoding import Reader, uint
from crow_plugins.feed.errors import Malformed, OverLimit, RemoteProtocolError, Unencodable, WrongState
from crow_plugins.feed.limits import (
    CHANNEL_HANDSHAKE_BYTES_MAX,
    CHANNEL_ID_BYTES_MAX,
    CHANNELS_MAX,
    FRAME_BYTES_MAX,
    PENDING_BYTES_MAX,
    PROTOCOL_NAME_BYTES_MAX,
)

OFFERS_MAX = 256  # of the peer, without our answer: more feeds than a chain has instances
ANSWERS_MAX = 1024  # of ours, not yet sent: only a peer that never waits for one causes so many
PENDING_MESSAGE_BYTES = 512  # what keeping a message costs besides its bytes, as npm reckons it
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - 64  # of a message: its frame has room for the seal, the channel and the type
TYPE_MAX = 2**16 - 1  # of a message: protocols have a dozen

_OPEN, _REJECT, _CLOSE = 1, 2, 3  # messages of the control channel


class Channel(NamedTuple):
    """The name of a channel, the same on both sides."""

    protocol: str
    id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Ask for a channel, or agree to an offered one; `handshake` is for the protocol's own use."""

    channel: Channel
    handshake: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """End a channel, take an `Open` back, or decline an offered channel."""

    channel: Channel


@dataclass(slots=True)
class Message:
    """One message on an open channel, sent or received."""

    channel: Channel
    type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """The peer asks for a channel and waits for `Open` or `Close`."""

    channel: Channel
    handshake: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """Both sides have opened the channel; this is what the peer's handshake says."""

    channel: Channel
    handshake: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The channel is no more; `refused` if the peer never opened its side of it."""

    channel: Channel
    refused: bool = False


Command = Open | Close | Message
Event = Offered | Opened | Message | Closed


@dataclass(slots=True)
class _Pair:
    """An open channel: each side's number for it."""

    local: int
    remote: int


@dataclass(slots=True)
class _Offer:
    """A channel that the peer asks for, with what it said already."""

    remote: int
    handshake: bytes
    pending: list[Message] = field(default_factory=list)


class Channels:
    """One side of all channels of one stream: whole messages of the stream in, whole messages out."""

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        """`aliases` maps other names of a protocol, as peers may use them, to the one used here."""
        self._aliases = dict(aliases or {})
        self._pairs: dict[Channel, _Pair] = {}
        self._asked: dict[Channel, int] = {}  # our number, while the peer has not answered
        self._offers: dict[Channel, _Offer] = {}
        self._remote: list[Channel | None] = []  # the peer's numbers, less one, that are in use
        self._unanswered: dict[Channel, deque[int]] = {}  # of ours, in order, also those that we closed meanwhile
        self._free: list[int] = []
        self._numbers = 0  # of ours that were ever used
        self._parts = Parts(b"")
        self._events: deque[Event] = deque()
        self._due: list[Part] = []  # to the peer, not fetched yet
        self._error: RemoteProtocolError | None = None

    def receive(self, frame: bytes) -> None:
        """Take one message of the stream. Raises `WrongState` while the last one has events left; `Malformed`."""
        if self._error is not None:
            raise self._error
        if not self._parts.done or self._events:
            raise WrongState("events of the message before are still to be handled")
        try:
            self._parts = Parts(frame)
        except RemoteProtocolError as error:
            self.fail(error)
            raise

    def next_event(self) -> Event | None:
        """What happened next; None when the message is used up. Raises a `RemoteProtocolError`, then always."""
        if self._error is not None:
            raise self._error
        if self._events:
            return self._events.popleft()
        try:
            while (part := self._parts.next()) is not None:
                event = self._handle(*part)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self.fail(error)
            raise
        return None

    def send(self, *commands: Command) -> list[bytes]:
        """Messages for the stream that carry the commands in order, together in as few as possible, answers first.

        Agreeing to an offer gives events at once: ask for them. Raises `WrongState` or `Unencodable`; the commands
        before the refused one are then still due, and go with the next call.
        """
        if self._error is not None:
            raise WrongState("the peer broke the protocol, and nothing more is said to it")
        for command in commands:
            self._due.append(self._part(command))
        return self.due()

    def due(self) -> list[bytes]:
        """What is due without any command: answers to what nobody need be asked about."""
        due = frames(self._due)
        self._due.clear()
        return due

    def fail(self, error: RemoteProtocolError) -> None:
        """The stream is done for: raise this from here on, and keep nothing."""
        self._error = error
        self._parts = Parts(b"")
        self._remote.clear()
        for kept in (self._offers, self._pairs, self._asked, self._unanswered, self._events, self._due):
            kept.clear()

    # --- what the peer says ---

    def _handle(self, number: int, type: int, reader: Reader) -> Event | None:
        if number == CONTROL:
            return self._control(type, reader)
        channel = self._remote[number - 1] if number <= len(self._remote) else None
        if channel is None:  # closed here while the message was on its way
            return None
        if type > TYPE_MAX:
            raise OverLimit("the type of a message", TYPE_MAX)
        message = Message(channel, type, reader.raw())
        if channel in self._pairs:
            return message
        self._keep(self._offers[channel], message)
        return None

    def _keep(self, offer: _Offer, message: Message) -> None:
        offer.pending.append(message)
        kept = sum(len(m.payload) + PENDING_MESSAGE_BYTES for o in self._offers.values() for m in o.pending)
        if kept > PENDING_BYTES_MAX:
            raise OverLimit("what is said on channels that are not open", PENDING_BYTES_MAX)

    def _control(self, type: int, reader: Reader) -> Event | None:
        if type == _OPEN:
            return self._on_open(reader)
        if type == _REJECT:
            return self._on_reject(reader.uint())
        if type == _CLOSE:
            return self._on_close(reader.uint())
        if type == BATCH:
            raise Malformed("a batch lies within a batch")
        return None

    def _on_open(self, reader: Reader) -> Event | None:
        number = reader.uint(CHANNELS_MAX, "the number of channels")
        channel = self._name(reader)
        handshake = _handshake(reader)
        self._check_number(number)
        if channel in self._unanswered:
            return self._on_answer(channel, number, handshake)
        if channel in self._pairs or channel in self._offers:
            self._answer(_REJECT, number)  # we hold no two conversations of one name
            return None
        if len(self._offers) == OFFERS_MAX:
            raise OverLimit("the number of channels asked for at once", OFFERS_MAX)
        self._remote[number - 1] = channel
        self._offers[channel] = _Offer(number, handshake)
        return Offered(channel, handshake)

    def _on_answer(self, channel: Channel, remote: int, handshake: bytes) -> Event | None:
        local = self._unanswered[channel][0]
        self._answered(channel, local)
        if self._asked.get(channel) != local:  # closed here before the answer came
            self._answer(_CLOSE, local)  # again, for some peers miss a close that overtakes their answer
            self._free.append(local)
            return None
        del self._asked[channel]
        self._pairs[channel] = _Pair(local, remote)
        self._remote[remote - 1] = channel
        return Opened(channel, handshake)

    def _on_reject(self, local: int) -> Event | None:
        channel = next((name for name, numbers in self._unanswered.items() if local in numbers), None)
        if channel is None:
            raise Malformed("it declines a channel that nobody asked for")
        self._answered(channel, local)
        self._free.append(local)
        if self._asked.get(channel) != local:
            return None
        del self._asked[channel]
        return Closed(channel, refused=True)

    def _on_close(self, remote: int) -> Event | None:
        channel = self._remote[remote - 1] if 0 < remote <= len(self._remote) else None
        if channel is None:  # closed from both sides at once
            return None
        self._remote[remote - 1] = None
        if channel in self._offers:
            del self._offers[channel]
            self._answer(_REJECT, remote)  # or the peer could never use the number again
            return Closed(channel, refused=True)
        self._free.append(self._pairs.pop(channel).local)
        return Closed(channel)

    def _name(self, reader: Reader) -> Channel:
        protocol = reader.string(PROTOCOL_NAME_BYTES_MAX, "the name of a protocol")
        id = reader.optional_buffer(CHANNEL_ID_BYTES_MAX, "the id of a channel")
        return Channel(self._aliases.get(protocol, protocol), id)

    def _check_number(self, number: int) -> None:
        if number == len(self._remote) + 1:
            self._remote.append(None)
        elif not 0 < number <= len(self._remote) or self._remote[number - 1] is not None:
            raise Malformed("it opens a channel under a number that is in use, or not next")

    def _answered(self, channel: Channel, local: int) -> None:
        numbers = self._unanswered[channel]
        numbers.remove(local)
        if not numbers:
            del self._unanswered[channel]

    def _answer(self, type: int, number: int) -> None:
        if len(self._due) >= ANSWERS_MAX:
            raise OverLimit("the number of answers that a peer may cause at once", ANSWERS_MAX)
        self._due.append(Part(CONTROL, bytes([type]) + uint(number)))

    # --- what we say ---

    def _part(self, command: Command) -> Part:
        if isinstance(command, Message):
            return self._say(command)
        return self._open(command) if isinstance(command, Open) else self._close(command.channel)

    def _say(self, message: Message) -> Part:
        pair = self._pairs.get(message.channel)
        if pair is None:
            raise WrongState("the channel is not open on both sides")
        if len(message.payload) > PAYLOAD_BYTES_MAX or message.type > TYPE_MAX:
            raise Unencodable("message", f"of a type up to {TYPE_MAX} and at most {PAYLOAD_BYTES_MAX} bytes long")
        return Part(pair.local, uint(message.type) + message.payload)

    def _open(self, command: Open) -> Part:
        channel = command.channel
        if channel in self._pairs or channel in self._asked:
            raise WrongState("the channel is open already, or asked for")
        name = _written(command)
        local = self._number()
        offer = self._offers.pop(channel, None)
        if offer is None:
            self._asked[channel] = local
            self._unanswered.setdefault(channel, deque()).append(local)
        else:
            self._pairs[channel] = _Pair(local, offer.remote)
            self._events += (Opened(channel, offer.handshake), *offer.pending)
        return Part(CONTROL, bytes([_OPEN]) + uint(local) + name)

    def _close(self, channel: Channel) -> Part:
        if offer := self._offers.pop(channel, None):
            self._remote[offer.remote - 1] = None
            return Part(CONTROL, bytes([_REJECT]) + uint(offer.remote))
        if pair := self._pairs.pop(channel, None):
            self._remote[pair.remote - 1] = None
            self._free.append(pair.local)
            self._events = deque(event for event in self._events if event.channel != channel)
            return Part(CONTROL, bytes([_CLOSE]) + uint(pair.local))
        local = self._asked.pop(channel, None)
        if local is None:
            raise WrongState("the channel is closed already, or never was open")
        return Part(CONTROL, bytes([_CLOSE]) + uint(local))

    def _number(self) -> int:
        if self._free:
            return self._free.pop()
        if self._numbers == CHANNELS_MAX:
            raise WrongState(f"there are {CHANNELS_MAX} channels on the stream")
        self._numbers += 1
        return self._numbers


def _written(command: Open) -> bytes:
    protocol, id = command.channel
    name = encoding.string(protocol)
    if len(name) > PROTOCOL_NAME_BYTES_MAX + 1 or len(id or b"") > CHANNEL_ID_BYTES_MAX:
        raise Unencodable("name of a channel", f"at most {PROTOCOL_NAME_BYTES_MAX} and {CHANNEL_ID_BYTES_MAX} bytes")
    if len(command.handshake) > CHANNEL_HANDSHAKE_BYTES_MAX:
        raise Unencodable("handshake of a channel", f"at most {CHANNEL_HANDSHAKE_BYTES_MAX} bytes long")
    return name + encoding.buffer(id) + command.handshake


def _handshake(reader: Reader) -> bytes:
    if reader.left > CHANNEL_HANDSHAKE_BYTES_MAX:
        raise OverLimit("the handshake of a channel", CHANNEL_HANDSHAKE_BYTES_MAX)
    return reader.raw()

"""The secret stream: whole messages over a stream of bytes, sealed, in order, from a peer who proved its key.

    frame = length (3 bytes, little endian) body

The first frames are the handshake; then each side sends one header (an id that the handshake's hash gives, and 24
bytes that begin its stream of libsodium's secretstream); then every frame is one sealed message, 17 bytes longer than
what it holds. An empty message only says that its sender lives.

Bytes in, events out; messages in, bytes out. Bytes are looked at only when an event is asked for, so whoever handles
`Secured` decides about the peer before anything more of it is opened. What is thrown once is thrown ever after: the
stream is done for. What messages mean, time, and where randomness comes from are no matter of this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from nacl import bindings
from nacl.bindings import crypto_secretstream_xchacha20poly1305_pull as pull
from nacl.bindings import crypto_secretstream_xchacha20poly1305_push as push
from nacl.exceptions import RuntimeError as SodiumError

from crow_plugins.feed import hashing
from crow_plugins.feed.errors import (
    Malformed,
    OverLimit,
    RemoteProtocolError,
    Unencodable,
    WrongState,
)
from crow_plugins.feed.limits import FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX
from crow_plugins.feed.noise import Handshake, Session
from crow_plugins.identity.keys import SECRET_BYTES, KeyPair

PREFIX_BYTES = 3
ID_BYTES = 32
HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
SEAL_BYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
RANDOM_BYTES = SECRET_BYTES + HEADER_BYTES  # the handshake's passing key, and the header
MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - SEAL_BYTES

_INITIATOR, _RESPONDER = hashing.namespaces("hyperswarm/secret-stream", 2)
_KEPT_BYTES_MAX = 2**18  # of the cipher's workspace: beyond it, allocating costs little beside sealing
_MESSAGE_TAG = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE

_State = bindings.crypto_secretstream_xchacha20poly1305_state


class NotAuthentic(RemoteProtocolError):
    """Bytes that were changed, repeated, left out or put in another order on their way."""

    code = "not_authentic"

    def __init__(self) -> None:
        super().__init__("the connection was tampered with, or its bytes were damaged; it is closed, so connect again")


class StreamCut(RemoteProtocolError):
    """The bytes ended where no message ends."""

    code = "stream_cut"

    def __init__(self) -> None:
        super().__init__("the connection ended in the middle of a message, which is dropped; connect again")


@dataclass(frozen=True, slots=True)
class Secured:
    """The peer holds the secret of `remote_public_key`; nobody else can read on. Messages can be sent from here on.

    `handshake_hash` (64 bytes) names this connection and no other: what is signed over it cannot be used elsewhere.
    """

    remote_public_key: bytes
    handshake_hash: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends nothing more, and what it sent was whole."""


class SecretStream:
    """One side of one connection."""

    def __init__(self, *, initiator: bool, static: KeyPair, randomness: bytes) -> None:
        """`randomness` is `RANDOM_BYTES` from the system's generator, used for nothing else."""
        if len(randomness) != RANDOM_BYTES:
            raise Unencodable("randomness", f"{RANDOM_BYTES} bytes long")
        ephemeral = KeyPair(randomness[:SECRET_BYTES])
        self.initiator = initiator
        self.session: Session | None = None
        self._handshake = Handshake(initiator=initiator, static=static, ephemeral=ephemeral)
        self._header = randomness[SECRET_BYTES:]
        self._sealing, self._opening = _State(), _State()
        self._receiving = False  # whether the peer's header has come
        self._inbox = bytearray()
        self._at_end = self._end_told = False
        self._outbox: list[bytes] = []
        self._error: RemoteProtocolError | None = None
        if initiator:
            self._say(self._handshake.write())

    def receive_data(self, data: bytes) -> None:
        """Take what came from the peer; no bytes at all say that it sends no more. Raises what was raised before."""
        if self._error is not None:
            raise self._error
        if self._at_end and data:
            raise WrongState("the end of the stream was reported, and now more of it")
        self._at_end = self._at_end or not data
        self._inbox += data

    def next_event(self) -> Secured | Ended | bytes | None:
        """The next message or event; None when more bytes are needed. Raises a `RemoteProtocolError`, then always."""
        if self._error is not None:
            raise self._error
        try:
            return self._next_event()
        except RemoteProtocolError as error:
            self.fail(error)
            raise

    def send(self, *messages: bytes) -> bytes:
        """Seal messages, a frame each: all bytes that are due, also those that the handshake wants.

        Raises `WrongState` before `Secured` and after an error, `Unencodable` above `MESSAGE_BYTES_MAX`.
        """
        self.check_sending(*messages)
        for message in messages:
            self._say(push(self._sealing, message))
            _release(self._sealing)
        return self.data_to_send()

    def check_sending(self, *messages: bytes) -> None:
        """Raise what `send` would."""
        if self._error is not None:
            raise WrongState("the peer broke the protocol, and nothing more is said to it")
        if self.session is None:
            raise WrongState("the peer has not proved yet who it is")
        if any(len(message) > MESSAGE_BYTES_MAX for message in messages):
            raise Unencodable("message", f"at most {MESSAGE_BYTES_MAX} bytes long")

    def data_to_send(self) -> bytes:
        """What is due without sending anything new: ask at the beginning, and whenever events have been handled."""
        due = b"".join(self._outbox)
        self._outbox.clear()
        return due

    def fail(self, error: RemoteProtocolError) -> None:
        """The peer is done for: raise this from here on, and keep nothing."""
        self._error = error
        self._inbox = bytearray()
        self._outbox.clear()

    def _next_event(self) -> Secured | Ended | bytes | None:
        while (body := self._next_body()) is not None:
            if self._receiving:
                return self._open(body)
            if self.session is None:
                if secured := self._shake_hands(body):
                    return secured
            else:
                self._begin_receiving(self.session, body)
        return self._end()

    def _next_body(self) -> bytes | None:
        inbox = self._inbox
        if len(inbox) < PREFIX_BYTES:
            return None
        size = int.from_bytes(inbox[:PREFIX_BYTES], "little")
        if not self._receiving and size > HANDSHAKE_FRAME_BYTES_MAX:
            raise OverLimit("a handshake", HANDSHAKE_FRAME_BYTES_MAX)
        end = PREFIX_BYTES + size
        if len(inbox) < end:
            return None
        with memoryview(inbox) as view:
            body = bytes(view[PREFIX_BYTES:end])
        del inbox[:end]
        return body

    def _shake_hands(self, body: bytes) -> Secured | None:
        self._handshake.read(body)
        if self._handshake.writes_next:
            self._say(self._handshake.write())
        session = self._handshake.session
        if session is None:
            return None
        self.session = session
        self._begin_sending(session)
        return Secured(session.remote_public_key, session.handshake_hash)

    def _begin_sending(self, session: Session) -> None:
        # Both directions begin alike; libsodium's own beginning differs in drawing the header itself.
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._sealing, self._header, session.send_key)
        self._say(stream_id(session.handshake_hash, self.initiator) + self._header)

    def _begin_receiving(self, session: Session, body: bytes) -> None:
        if len(body) != ID_BYTES + HEADER_BYTES:
            raise Malformed("the secret stream begins with no header")
        if not compare_digest(body[:ID_BYTES], stream_id(session.handshake_hash, not self.initiator)):
            raise NotAuthentic
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._opening, body[ID_BYTES:], session.receive_key)
        self._receiving = True

    def _open(self, body: bytes) -> bytes:
        if len(body) < SEAL_BYTES:
            raise Malformed("a sealed message is shorter than a seal")
        try:
            message, tag = pull(self._opening, body)
        except SodiumError as error:
            raise NotAuthentic from error
        _release(self._opening)
        if tag != _MESSAGE_TAG:
            raise Malformed("a sealed message is of a kind that nobody sends")
        return message

    def _end(self) -> Ended | None:
        if not self._at_end or self._end_told:
            return None
        if self._inbox or not self._receiving:
            raise StreamCut
        self._end_told = True
        return Ended()

    def _say(self, body: bytes) -> None:
        self._outbox += (len(body).to_bytes(PREFIX_BYTES, "little"), body)


def stream_id(handshake_hash: bytes, initiator: bool) -> bytes:
    """The 32 bytes with which a side opens its stream."""
    return blake2b(_INITIATOR if initiator else _RESPONDER, key=handshake_hash, digest_size=ID_BYTES).digest()


def _release(state: _State) -> None:
    """One large message must not hold its size in memory as long as the connection lives."""
    if state.rawbuf is not None and len(state.rawbuf) > _KEPT_BYTES_MAX:
        state.rawbuf = None

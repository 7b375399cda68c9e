"""The vectors of `tests/vectors/feed/streams.json`: what a caller says on a connection, rightly and wrongly.

    python -m tests.feed.stream_vectors      writes the file anew

The called side has the key whose seed is 32 bytes of 2, and 56 bytes of 4 for its randomness: so its own words, and all
that hangs on them, are the same in every run. Each case is the caller's bytes up to their end, and what becomes of
them: `ok`, or the code of the error; and until then the messages that were `heard` on channels, each of which the
called side opens when it is asked to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from nacl import bindings

from crow_plugins.feed.batches import MESSAGES_MAX
from crow_plugins.feed.channels import TYPE_MAX, Message, Offered, Open
from crow_plugins.feed.encoding import buffer, uint
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.limits import (
    CHANNEL_HANDSHAKE_BYTES_MAX,
    CHANNEL_ID_BYTES_MAX,
    CHANNELS_MAX,
    HANDSHAKE_FRAME_BYTES_MAX,
    PROTOCOL_NAME_BYTES_MAX,
    UINT_MAX,
)
from crow_plugins.feed.noise import Handshake
from crow_plugins.feed.secret_stream import RANDOM_BYTES, SEAL_BYTES, SecretStream, stream_id
from crow_plugins.feed.wire import Wire
from crow_plugins.identity.keys import KeyPair
from tests.feed.talking import pieces

VECTORS = Path(__file__).parent.parent / "vectors" / "feed" / "streams.json"
CALLER, CALLED, PASSING = (KeyPair(bytes([byte]) * 32) for byte in (1, 2, 3))
CALLED_RANDOMNESS = b"\4" * RANDOM_BYTES
HEADER = b"\5" * 24  # begins the caller's stream of libsodium's
MESSAGE, REKEY, FINAL = 0, 2, 3  # what a sealed message may say it is

Case = tuple[str, bytes, str]


def outcome(received: bytes, size: int = 2**24) -> tuple[str, list[str]]:
    """What the called side makes of a caller's bytes that come in pieces of a size, and what it hears before that."""
    wire = Wire(initiator=False, static=CALLED, randomness=CALLED_RANDOMNESS)
    heard: list[str] = []
    try:
        for data in (*pieces(received, size), b""):
            wire.receive_data(data)
            while (event := wire.next_event()) is not None:
                if isinstance(event, Offered):
                    wire.send(Open(event.channel))
                if isinstance(event, Message):
                    heard.append(event.payload.hex())
    except RemoteProtocolError as error:
        return error.code, heard
    return "ok", heard


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + body


class Caller:
    """A caller that can do everything wrong; its handshake is done once it is made."""

    def __init__(self) -> None:
        self.noise = Handshake(initiator=True, static=CALLER, ephemeral=PASSING)
        self.called = SecretStream(initiator=False, static=CALLED, randomness=CALLED_RANDOMNESS)
        self.first = frame(self.noise.write())
        self.called.receive_data(self.first)
        self.called.next_event()
        self.noise.read(self.called.data_to_send()[3:])

    def shake(self) -> bytes:
        """The whole of an honest handshake."""
        return self.first + frame(self.noise.write())

    def begin(self, header: bytes = HEADER, id: bytes | None = None) -> bytes:
        """An honest handshake, and the beginning of the stream."""
        said = self.shake()
        session = self.noise.session
        assert session is not None
        self.sealing = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self.sealing, HEADER, session.send_key)
        return said + frame((stream_id(session.handshake_hash, True) if id is None else id) + header)

    def seal(self, message: bytes, tag: int = MESSAGE) -> bytes:
        return frame(bindings.crypto_secretstream_xchacha20poly1305_push(self.sealing, message, b"", tag))


def last_words(static: bytes = CALLER.public_key, payload: bytes = b"") -> bytes:
    """A handshake that ends with another key or more than it should."""
    caller = Caller()
    symmetric = caller.noise._symmetric
    sealed = symmetric.seal(static)
    caller.noise._mix("se")
    return caller.first + frame(sealed + symmetric.seal(payload))


def said(*messages: bytes) -> bytes:
    """A connection on which these frames are sealed one after another."""
    caller = Caller()
    return caller.begin() + b"".join(map(caller.seal, messages))


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def opening(number: int = 1, protocol: bytes = b"echo", id: bytes = b"", handshake: bytes = b"") -> bytes:
    return b"\0\1" + uint(number) + buffer(protocol) + buffer(id) + handshake


def batch(*messages: bytes, channel: int = 1) -> bytes:
    return b"\0\0" + uint(channel) + b"".join(map(buffer, messages))


def honest() -> Iterator[Case]:
    yield "a handshake, and one message", said(opening(), b"\1\0hello"), "ok"
    yield "three messages in one frame", said(opening(), batch(b"\0one", b"\1two", b"\0")), "ok"
    yield (
        "messages of two channels in one frame",
        said(opening(), opening(2, b"echo", b"2"), b"\0\0\1" + buffer(b"\0one") + b"\0\2" + buffer(b"\0two")),
        "ok",
    )
    yield "a sign of life between messages", said(opening(), b"", b"\1\0hello"), "ok"
    yield "an empty message", said(opening(), b"\1\0"), "ok"
    yield (
        "a name at its limits",
        said(
            opening(1, b"p" * PROTOCOL_NAME_BYTES_MAX, b"i" * CHANNEL_ID_BYTES_MAX, bytes(CHANNEL_HANDSHAKE_BYTES_MAX))
        ),
        "ok",
    )
    yield "a word about channels that is not known", said(opening(), b"\0\4what", b"\1\0hello"), "ok"
    yield "a message on a channel that is closed", said(opening(), b"\0\3\1", b"\1\0late"), "ok"
    yield "a channel opened again under its number", said(opening(), b"\0\3\1", opening(), b"\1\0again"), "ok"
    yield "the same channel asked for twice", said(opening(), opening(2), b"\1\0hello"), "ok"


def broken_handshakes() -> Iterator[Case]:
    whole = Caller().shake()
    first, last = whole[:35], whole[35:]
    for name, key in [("zero", bytes(32)), ("the neutral point", b"\1" + bytes(31)), ("no point", b"\2" * 32)]:
        yield f"a passing key that is {name}", frame(key) + last, "handshake_failed"
        yield f"a lasting key that is {name}", last_words(static=key), "handshake_failed"
    yield "the first message changed", flipped(first, 20) + last, "handshake_failed"
    yield "the sealed key changed", flipped(whole, 40), "handshake_failed"
    yield "the last seal changed", flipped(whole, -1), "handshake_failed"
    yield "the first message a byte short", frame(first[3:-1]) + last, "malformed"
    yield "the first message a byte long", frame(first[3:] + b"x") + last, "malformed"
    yield "the last message without its seal", first + frame(last[3:-16]), "malformed"
    yield "something in the last message", last_words(payload=b"more"), "malformed"
    yield "an empty first message", frame(b""), "malformed"
    yield "the first message twice", first + first, "malformed"
    yield "a handshake frame above its limit", (HANDSHAKE_FRAME_BYTES_MAX + 1).to_bytes(3, "little"), "over_limit"
    yield "the words of another protocol", b"GET / HTTP/1.1\r\nHost: crow\r\n\r\n", "over_limit"
    for cut in (1, 3, 20, 35, 60):
        yield f"ends after byte {cut}", whole[:cut], "stream_cut"
    yield "ends after the handshake", whole, "stream_cut"


def broken_beginnings() -> Iterator[Case]:
    yield "the id of the other side", Caller().begin(id=b"\7" * 32), "not_authentic"
    yield "a beginning a byte short", Caller().begin(header=HEADER[:-1]), "malformed"
    yield "a beginning a byte long", Caller().begin(header=HEADER + b"x"), "malformed"
    caller = Caller()
    yield (
        "another header than the sealing began with",
        caller.begin(header=b"\6" * 24) + caller.seal(b"x"),
        ("not_authentic"),
    )


def broken_frames() -> Iterator[Case]:
    caller = Caller()
    start = caller.begin() + caller.seal(opening())
    one, two = caller.seal(b"\1\0one"), caller.seal(b"\1\0two")
    for name, place in [("length of a frame", 0), ("first byte of a frame", 3), ("seal of a frame", -1)]:
        expect = "stream_cut" if place == 0 and flipped(one, 0)[0] > one[0] else "not_authentic"
        yield f"the {name} changed", start + flipped(one, place), expect
    yield "a frame left out", start + two, "not_authentic"
    yield "a frame twice", start + one + one, "not_authentic"
    yield "two frames in the wrong order", start + two + one, "not_authentic"
    yield "a frame shorter than a seal", start + frame(bytes(SEAL_BYTES - 1)), "malformed"
    yield "a frame of nothing", start + frame(b""), "malformed"
    yield "a frame that ends too soon", start + one[:-1], "stream_cut"
    yield "the length of a frame, and no frame", start + b"\xff\xff\xff", "stream_cut"
    for name, tag in [("a new key", REKEY), ("the end", FINAL)]:
        other = Caller()
        yield f"a sealed message that says it is {name}", other.begin() + other.seal(opening(), tag), "malformed"


def broken_channels() -> Iterator[Case]:
    yield "a channel number that is not next", said(opening(2)), "malformed"
    yield "a channel number that is in use", said(opening(), opening(1, b"echo", b"2")), "malformed"
    yield "a channel under number 0", said(opening(0)), "malformed"
    yield "declines what nobody asked for", said(b"\0\2\1"), "malformed"
    yield "an opening without a name", said(b"\0\1\1"), "malformed"
    yield "a name that is not UTF-8", said(opening(1, b"\xff\xfe")), "malformed"
    yield "a frame without a type", said(b"\1"), "malformed"
    yield "a batch of nothing", said(b"\0\0\1"), "malformed"
    yield "a batch within a batch", said(batch(b"\0\1", channel=0)), "malformed"
    yield "a message in a batch that ends too soon", said(opening(), b"\0\0\1\x09\0one"), "malformed"
    yield "a number above 2^53 - 1", said(b"\xff" + (UINT_MAX + 1).to_bytes(8, "little") + b"\0"), "over_limit"
    yield "a message type above its limit", said(opening(), b"\1" + uint(TYPE_MAX + 1)), "over_limit"
    yield "a channel number above its limit", said(opening(CHANNELS_MAX + 1)), "over_limit"
    yield "a protocol's name above its limit", said(opening(1, b"p" * (PROTOCOL_NAME_BYTES_MAX + 1))), "over_limit"
    yield "a channel's id above its limit", said(opening(1, b"p", bytes(CHANNEL_ID_BYTES_MAX + 1))), "over_limit"
    yield (
        "a channel's handshake above its limit",
        said(opening(1, b"p", b"", bytes(CHANNEL_HANDSHAKE_BYTES_MAX + 1))),
        "over_limit",
    )
    yield "more messages in a frame than its limit", said(opening(), batch(*[b"\0"] * (MESSAGES_MAX + 1))), "over_limit"


def main() -> None:
    made = [*honest(), *broken_handshakes(), *broken_beginnings(), *broken_frames(), *broken_channels()]
    cases = []
    for name, received, expect in made:
        got, heard = outcome(received)
        if got != expect:
            print(f"{name}: {got}, and not {expect}")
        cases.append({"name": name, "received": received.hex(), "heard": heard, "expect": expect})
    VECTORS.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()

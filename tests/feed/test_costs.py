"""What one input may cost: whatever a peer sends, reading it takes 50 ms and bounded memory at the very most.

Two looks at each decoder: the dearest inputs that its limits let through, and random ones near what is honest. Time is
this thread's share of the processor. Other work on the machine makes that longer too, so what takes more than 50 ms is
held to what libsodium alone takes, at the same moment, to seal and open the largest frame: as much on an idle machine.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from crow_plugins.feed import Feed, batches, limits, manifest, messages
from crow_plugins.feed.capability import verify
from crow_plugins.feed.channels import OFFERS_MAX, Channel, Channels, Message, Open
from crow_plugins.feed.encoding import buffer, uint
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.manifest import Manifest, Signer
from crow_plugins.feed.messages import Bitfield, Data, FeedMessage, Range, Request, Sync, Want
from crow_plugins.feed.noise import Handshake
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from crow_plugins.feed.secret_stream import MESSAGE_BYTES_MAX, SecretStream
from crow_plugins.feed.storage import MemoryStorage
from crow_plugins.identity.keys import KeyPair
from tests.feed import making
from tests.feed.exchanging import Stranger, copied, feed_of, numbered
from tests.feed.talking import CALLED, CALLER, connected_streams, randomness

SECONDS_MAX = 0.05
BYTES_MAX = 5 * limits.FRAME_BYTES_MAX  # of one frame: as it came, cut out, opened, and as a message
TRIES = 3

Call = Callable[[], object]


def seconds(prepare: Callable[[], Call]) -> float:
    """The processor's time for one call; only the peer's errors may come out of it."""
    call = prepare()
    began = time.thread_time()
    with suppress(RemoteProtocolError):
        call()
    return time.thread_time() - began


def peak_bytes(call: Call) -> int:
    tracemalloc.start()
    try:
        with suppress(RemoteProtocolError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def is_cheap(prepare: Callable[[], Call]) -> bool:
    """Within the time, in one of a few tries; `prepare` gives a new call for each, for it uses up what it reads."""
    return any(seconds(prepare) < SECONDS_MAX or seconds(prepare) < seconds(sealing_alone) for _ in range(TRIES))


def sealing_alone() -> Call:
    """The largest frame through the cipher and back."""
    sealing, opening = (bindings.crypto_secretstream_xchacha20poly1305_state() for _ in range(2))
    for state in (sealing, opening):
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, bytes(24), bytes(32))
    push, pull = (
        bindings.crypto_secretstream_xchacha20poly1305_push,
        bindings.crypto_secretstream_xchacha20poly1305_pull,
    )
    return lambda: pull(opening, push(sealing, bytes(MESSAGE_BYTES_MAX)))


# --- the dearest that the limits let through ---

KEYS = [KeyPair(bytes([100 + number]) * 32).public_key for number in range(limits.SIGNERS_MAX)]
LARGEST_MANIFEST = Manifest(
    signers=tuple(Signer(key, bytes(32)) for key in KEYS),
    quorum=limits.SIGNERS_MAX,
    version=2,
    linked=tuple(bytes([number]) * 32 for number in range(limits.LINKED_MAX)),
    user_data=bytes(limits.USER_DATA_BYTES_MAX),
)
NODES = tuple(Node(2 * number, 1, bytes(32)) for number in range(limits.NODES_MAX))
EVERY_NODE = Proof(
    fork=0,
    block=BlockProof(0, bytes(limits.BLOCK_BYTES_MAX), NODES),
    seek=SeekProof(0, NODES),
    upgrade=UpgradeProof(0, limits.LENGTH_MAX, NODES, NODES, bytes(limits.SIGNATURE_BYTES_MAX)),
    manifest=manifest.encode(LARGEST_MANIFEST),
)
FEED = feed_of(1, *numbered(3000))


def channels_with(*frames: bytes) -> Callable[[], Call]:
    """All events of the frames; every offer stays without an answer."""

    def call() -> None:
        channels = Channels()
        for frame in frames:
            channels.receive(frame)
            while channels.next_event() is not None:
                pass

    return lambda: call


def batch(*parts: bytes) -> bytes:
    return b"\0\0\0" + b"".join(uint(len(part)) + part for part in parts)


def opening(number: int) -> bytes:
    return b"\1" + uint(number) + buffer(b"feed") + buffer(uint(number))


def decoding(message: FeedMessage) -> Callable[[], Call]:
    number, payload = messages.encode(message)
    return lambda: lambda: messages.decode(number, payload)


def receiving(proof: Proof) -> Callable[[], Call]:
    return lambda: lambda: Feed(FEED.key, MemoryStorage(), FEED.encoded_manifest).receive(proof)


def saying(*said: FeedMessage, to: Feed = FEED) -> Callable[[], Call]:
    """A whole session hears it, does what it calls for, and answers."""

    def prepare() -> Call:
        stranger = Stranger(copied(to, [1, 5]) if to is FEED else to)
        data = stranger.wire.send(*(Message(stranger.channel, *messages.encode(each)) for each in said))
        session, side = stranger.victim.session, stranger.victim

        def call() -> None:
            session.receive_data(data)
            side.hear()
            session.work(side)
            session.data_to_send()

        return call

    return prepare


def opening_a_frame(damaged: bool) -> Callable[[], Call]:
    def prepare() -> Call:
        caller, called = connected_streams()
        data = bytearray(caller.send(bytes(MESSAGE_BYTES_MAX)))
        data[-1] ^= damaged
        called.receive_data(bytes(data))
        return called.next_event

    return prepare


def opening_a_full_frame() -> Call:
    """Opened and passed over in one call: nothing of it is an event."""
    caller, called = connected_streams()
    channels = Channels()
    size = (MESSAGE_BYTES_MAX - 3) // batches.MESSAGES_MAX
    called.receive_data(caller.send(b"\0\0\1" + (uint(size - 5) + bytes(size - 5)) * batches.MESSAGES_MAX))

    def call() -> None:
        frame = called.next_event()
        assert isinstance(frame, bytes)
        channels.receive(frame)
        channels.next_event()

    return call


def shaking_hands() -> Call:
    caller = Handshake(initiator=True, static=CALLER, ephemeral=KeyPair(b"\5" * 32))
    first = caller.write()
    called = SecretStream(initiator=False, static=CALLED, randomness=randomness(4))

    def call() -> None:
        called.receive_data(len(first).to_bytes(3, "little") + first)
        called.next_event()
        answer = called.data_to_send()
        caller.read(answer[3:])
        last = caller.write()
        called.receive_data(len(last).to_bytes(3, "little") + last)
        called.next_event()

    return call


DEAREST: dict[str, Callable[[], Call]] = {
    "a handshake": shaking_hands,
    "a frame of 16 MiB": opening_a_frame(damaged=False),
    "a frame of 16 MiB that is false": opening_a_frame(damaged=True),
    "a frame of 16 MiB full of messages that nobody waits for": opening_a_full_frame,
    "messages that nobody waits for": channels_with(b"\0\0\1" + b"\1\0" * batches.MESSAGES_MAX),
    "changes of the channel": channels_with(b"\0\0\1" + b"\0\1" * batches.MESSAGES_MAX),
    "unknown words about channels": channels_with(batch(*[b"\4"] * batches.MESSAGES_MAX)),
    "closings of what is not open": channels_with(batch(*[b"\3\1"] * batches.MESSAGES_MAX)),
    "openings": channels_with(batch(*map(opening, range(1, OFFERS_MAX + 2)))),
    "one channel asked for again and again": channels_with(
        batch(opening(1), *[b"\1" + uint(number) + opening(1)[2:] for number in range(2, limits.CHANNELS_MAX + 1)])
    ),
    "words on a channel that is not open yet": channels_with(batch(opening(1)), b"\0\0\1" + b"\1\0" * 100),
    "every node that a proof may have": decoding(Data(2**53 - 1, EVERY_NODE)),
    "every node of a hash": decoding(Data(1, Proof(0, hash=HashProof(0, NODES)))),
    "the longest bitfield": decoding(Bitfield(0, b"\x55" * (4 * limits.BITFIELD_WORDS_MAX))),
    "the largest manifest": lambda: lambda: manifest.decode(manifest.encode(LARGEST_MANIFEST)),
    "the longest signature": lambda: (
        lambda: manifest.signature_parts(manifest.contained([(number, bytes(64)) for number in range(16)]))
    ),
    "the longest signature, verified": lambda: (
        lambda: manifest.authority(LARGEST_MANIFEST.key, manifest.encode(LARGEST_MANIFEST)).verify(
            manifest.contained([(number, bytes(64)) for number in range(16)]), bytes(32), 1, 0
        )
    ),
    "a proof of every node": receiving(EVERY_NODE),
    "a claim to hold every other block": saying(Bitfield(0, b"\x55" * (4 * limits.BITFIELD_WORDS_MAX))),
    "as many gaps as may be told": saying(*[Range(2 * n, 1, drop=True) for n in range(limits.TELLINGS_MAX)]),
    "a range of all that can be": saying(Sync(0, limits.LENGTH_MAX, 0), Range(0, limits.LENGTH_MAX)),
    "a question about two million blocks": saying(Want(0, 2**21), to=FEED),
    "a place of a byte": saying(
        Request(1, 0, ProofRequest(seek=SeekRequest(20_000), upgrade=UpgradeRequest(0, 3000))), to=copied(FEED)
    ),
    "a hash of everything": saying(Request(1, 0, ProofRequest(hash=HashRequest(2047, 40))), to=copied(FEED)),
    "a block from the bottom": saying(
        Request(1, 0, ProofRequest(BlockRequest(0, 40), upgrade=UpgradeRequest(0, 3000), manifest=True)),
        to=copied(FEED),
    ),
}


@pytest.mark.parametrize("name", DEAREST)
def test_the_dearest_input_costs_at_most_50_ms(name: str) -> None:
    assert is_cheap(DEAREST[name])


@pytest.mark.parametrize("name", DEAREST)
def test_the_dearest_input_costs_no_more_memory_than_a_frame_or_five(name: str) -> None:
    call = DEAREST[name]()
    assert peak_bytes(call) < BYTES_MAX


# --- anything at all ---

HONEST: list[bytes] = [
    *(messages.encode(each)[1] for each in (Sync(0, 9, 0), Range(0, 9), Want(0, 64), Bitfield(0, bytes(8)))),
    messages.encode(Data(1, making.written(making.blocks(9)).prove(ProofRequest(upgrade=UpgradeRequest(0, 9)))))[1],
    manifest.encode(LARGEST_MANIFEST),
    manifest.contained([(0, bytes(64))]),
    batch(opening(1), b"\3\1", b"\2\1"),
    Channels().send(Open(Channel("feed", b"\1" * 32), bytes(33)))[0],
]
inputs = st.one_of(
    st.binary(max_size=2000),
    st.builds(
        lambda whole, place, put, take: whole[: place % len(whole)] + put + whole[place % len(whole) + take :],
        st.sampled_from(HONEST),
        st.integers(0, 10_000),
        st.binary(max_size=9),
        st.integers(0, 9),
    ),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(1, 2000)),
)
DECODERS: dict[str, Callable[[bytes], object]] = {
    **{f"message {number}": partial(messages.decode, number) for number in range(11)},
    "channels": lambda data: channels_with(data)()(),
    "manifest": manifest.decode,
    "signature": manifest.signature_parts,
    "capability": lambda data: verify(data, bytes(64), True, FEED.key),
    "stream": lambda data: heard(SecretStream(initiator=False, static=CALLED, randomness=randomness(4)), data),
    "opened stream": lambda data: heard(connected_streams()[1], data),
    "proof": lambda data: received(data),
}


def heard(stream: SecretStream, data: bytes) -> None:
    stream.receive_data(data)
    while stream.next_event() is not None:
        pass


def received(data: bytes) -> None:
    message = messages.decode(3, data)
    assert isinstance(message, Data)
    Feed(FEED.key, MemoryStorage(), FEED.encoded_manifest).receive(message.proof)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=60)
@given(data=inputs)
def test_any_input_is_read_or_refused_in_50_ms_and_little_memory(name: str, data: bytes) -> None:
    def call() -> object:
        return DECODERS[name](data)

    assert is_cheap(lambda: call)
    assert peak_bytes(call) < 2**20 + 100 * len(data)

"""Messages about a feed, and the capability: what goes over the wire comes back the same, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crow_plugins.feed import capability, limits, messages
from crow_plugins.feed.capability import BadCapability
from crow_plugins.feed.encoding import buffer, uint
from crow_plugins.feed.errors import Malformed, OverLimit, RemoteProtocolError, Unencodable
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.messages import (
    INDEX_MAX,
    INVALID_REQUEST,
    Bitfield,
    Cancel,
    Data,
    Extension,
    FeedMessage,
    NoData,
    Range,
    Request,
    Sync,
    Unwant,
    Want,
)
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

SYNC, REQUEST, CANCEL, DATA, NO_DATA, WANT, UNWANT, BITFIELD, RANGE, EXTENSION = range(10)

positions, indexes = st.integers(0, limits.LENGTH_MAX), st.integers(0, INDEX_MAX)
numbers, forks, sizes = (st.integers(0, limits.UINT_MAX) for _ in range(3))
nodes = st.lists(st.builds(Node, indexes, sizes, st.binary(min_size=32, max_size=32)), max_size=3).map(tuple)
requests = st.builds(
    ProofRequest,
    block=st.none() | st.builds(BlockRequest, positions, numbers),
    hash=st.none() | st.builds(HashRequest, indexes, numbers),
    seek=st.none() | st.builds(SeekRequest, sizes, sizes),
    upgrade=st.none() | st.builds(UpgradeRequest, positions, positions),
    manifest=st.booleans(),
)
proofs = st.builds(
    Proof,
    fork=forks,
    block=st.none() | st.builds(BlockProof, positions, st.binary(max_size=300), nodes),
    hash=st.none() | st.builds(HashProof, indexes, nodes),
    seek=st.none() | st.builds(SeekProof, sizes, nodes),
    upgrade=st.none() | st.builds(UpgradeProof, positions, positions, nodes, nodes, st.binary(max_size=80)),
    manifest=st.none() | st.binary(max_size=80),
)
words = st.lists(st.binary(min_size=4, max_size=4), max_size=9).map(b"".join)
feed_messages: st.SearchStrategy[FeedMessage] = st.one_of(
    st.builds(Sync, forks, positions, positions, *[st.booleans()] * 5),
    st.builds(Request, numbers, forks, requests, numbers),
    st.builds(Cancel, numbers),
    st.builds(Data, numbers, proofs),
    st.builds(NoData, numbers, numbers),
    st.builds(Want, positions, positions, st.booleans()),
    st.builds(Unwant, positions, positions, st.booleans()),
    st.builds(Bitfield, positions, words),
    st.builds(Range, positions, positions, st.booleans()),
    st.builds(Extension, st.text(max_size=16), st.binary(max_size=50)),
)


@given(feed_messages)
def test_a_message_comes_back_as_it_was(message: FeedMessage) -> None:
    assert messages.decode(*messages.encode(message)) == message


@given(st.integers(0, 12), st.binary(max_size=300))
@example(BITFIELD, b"\0\xff" + b"\xff" * 8)
@example(DATA, b"\1\0\0\0\xff" + b"\xff" * 8)
def test_no_bytes_cause_another_error_than_the_peers(number: int, payload: bytes) -> None:
    with suppress(Malformed, OverLimit):
        messages.decode(number, payload)


@given(feed_messages, st.integers(0, 300), st.integers(1, 255))
def test_a_flipped_byte_causes_no_other_error_than_the_peers(message: FeedMessage, place: int, change: int) -> None:
    number, payload = messages.encode(message)
    changed = bytearray(payload)
    changed[place % len(payload)] ^= change
    with suppress(RemoteProtocolError):
        messages.decode(number, bytes(changed))


ALL_OF_IT = Proof(
    fork=1,
    block=BlockProof(1, b"block", (Node(0, 1, b"\1" * 32),)),
    seek=SeekProof(1, (Node(0, 1, b"\1" * 32),)),
    upgrade=UpgradeProof(0, 2, (Node(1, 2, b"\2" * 32),), (Node(5, 2, b"\3" * 32),), b"\4" * 64),
)


@pytest.mark.parametrize(
    "message",
    [
        Sync(300, 300, 300),
        Request(300, 1, ProofRequest(BlockRequest(1, 1), None, SeekRequest(1, 0), UpgradeRequest(0, 300)), 300),
        Cancel(300),
        Data(300, ALL_OF_IT),
        Data(300, Proof(1, hash=HashProof(1, (Node(0, 1, b"\1" * 32),)))),
        Bitfield(300, bytes(8)),
        Range(300, 300),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_cut_anywhere_is_refused(message: FeedMessage) -> None:
    number, payload = messages.encode(message)
    for size in range(len(payload)):
        with pytest.raises(Malformed):
            messages.decode(number, payload[:size])


@pytest.mark.parametrize("number", range(9))
def test_what_a_newer_peer_adds_at_the_end_is_passed_over(number: int) -> None:
    every: dict[int, FeedMessage] = {
        SYNC: Sync(0, 1, 2),
        REQUEST: Request(1, 0, ProofRequest()),
        CANCEL: Cancel(1),
        DATA: Data(1, ALL_OF_IT),
        NO_DATA: NoData(1, INVALID_REQUEST),
        WANT: Want(0, 32, any=True),
        UNWANT: Unwant(0, 32, any=True),
        BITFIELD: Bitfield(0, bytes(4)),
        RANGE: Range(0, 2),
    }
    known = every[number]
    _, payload = messages.encode(known)
    assert messages.decode(number, payload + b"more") == known


def test_what_an_older_peer_leaves_out_is_not_missed() -> None:
    assert messages.decode(NO_DATA, b"\7") == NoData(7)
    assert messages.decode(WANT, b"\0\x20") == Want(0, 32)


def test_flags_that_are_not_known_are_passed_over() -> None:
    assert messages.decode(SYNC, b"\x7f\0\1\2") == Sync(0, 1, 2, has_manifest=True, allow_push=True)
    assert messages.decode(RANGE, b"\x7e\5") == Range(5, 1)


def test_a_type_that_is_not_known_is_no_message() -> None:
    assert messages.decode(10, b"whatever") is None


NODE = b"\0\1" + bytes(32)


def node_list(count: int) -> bytes:
    return uint(count) + NODE * count


# A message at its limit for 0, and one past it for 1.
AT_AND_PAST: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "length": (SYNC, lambda n: b"\0\0" + uint(limits.LENGTH_MAX + n) + b"\0"),
    "remote length": (SYNC, lambda n: b"\0\0\0" + uint(limits.LENGTH_MAX + n)),
    "block asked for": (REQUEST, lambda n: b"\1\0\0" + uint(limits.LENGTH_MAX + n) + b"\0"),
    "node asked for": (REQUEST, lambda n: b"\2\0\0" + uint(INDEX_MAX + n) + b"\0"),
    "upgrade asked for": (REQUEST, lambda n: b"\x08\0\0\0" + uint(limits.LENGTH_MAX + n)),
    "nodes": (DATA, lambda n: b"\2\0\0\0" + node_list(limits.NODES_MAX + n)),
    "nodes of a block": (DATA, lambda n: b"\1\0\0\0\0" + node_list(limits.NODES_MAX + n)),
    "additional nodes": (DATA, lambda n: b"\x08\0\0\0\0\0" + node_list(limits.NODES_MAX + n) + b"\0"),
    "block": (DATA, lambda n: b"\1\0\0\0" + buffer(bytes(limits.BLOCK_BYTES_MAX + n)) + b"\0"),
    "signature": (DATA, lambda n: b"\x08\0\0\0\0\0\0" + buffer(bytes(limits.SIGNATURE_BYTES_MAX + n))),
    "manifest": (DATA, lambda n: b"\x10\0\0" + bytes(limits.MANIFEST_BYTES_MAX + n)),
    "bitfield": (BITFIELD, lambda n: b"\0" + uint(limits.BITFIELD_WORDS_MAX + n) + bytes(4 * 65_537)),
    "range": (RANGE, lambda n: b"\0\0" + uint(limits.LENGTH_MAX + n)),
    "want": (WANT, lambda n: b"\0" + uint(limits.LENGTH_MAX + n)),
    "unwant": (UNWANT, lambda n: uint(limits.LENGTH_MAX + n) + b"\0"),
    "extension": (EXTENSION, lambda n: buffer(b"x" * (limits.EXTENSION_NAME_BYTES_MAX + n))),
}


@pytest.mark.parametrize("name", AT_AND_PAST)
def test_a_message_may_reach_a_limit_and_not_pass_it(name: str) -> None:
    number, payload = AT_AND_PAST[name]
    assert messages.decode(number, payload(0)) is not None
    with pytest.raises(OverLimit):
        messages.decode(number, payload(1))


def test_a_fork_beyond_what_npm_can_count_is_refused() -> None:
    assert messages.decode(SYNC, b"\0" + uint(limits.FORK_MAX) + b"\0\0") is not None
    with pytest.raises(OverLimit):
        messages.decode(SYNC, b"\0\xff" + (limits.FORK_MAX + 1).to_bytes(8, "little") + b"\0\0")


UNWRITABLE: dict[str, FeedMessage] = {
    "a number below zero": Cancel(-1),
    "a number too high": Cancel(limits.UINT_MAX + 1),
    "block": Data(0, Proof(0, block=BlockProof(0, bytes(limits.BLOCK_BYTES_MAX + 1), ()))),
    "hash": Data(0, Proof(0, hash=HashProof(0, (Node(0, 1, bytes(31)),)))),
    "nodes": Data(0, Proof(0, hash=HashProof(0, (Node(0, 1, bytes(32)),) * (limits.NODES_MAX + 1)))),
    "signature": Data(0, Proof(0, upgrade=UpgradeProof(0, 1, (), (), bytes(limits.SIGNATURE_BYTES_MAX + 1)))),
    "manifest": Data(0, Proof(0, manifest=bytes(limits.MANIFEST_BYTES_MAX + 1))),
    "bitfield": Bitfield(0, bytes(4 * limits.BITFIELD_WORDS_MAX + 1)),
    "extension": Extension("x" * (limits.EXTENSION_NAME_BYTES_MAX + 1), b""),
    "half a character": Extension("\ud800", b""),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_no_peer_would_take_is_not_written(name: str) -> None:
    with pytest.raises(Unencodable):
        messages.encode(UNWRITABLE[name])


# --- the capability ---

KEY, HASH = b"\5" * 32, b"\6" * 64


@pytest.mark.parametrize("initiator", [True, False])
def test_who_knows_the_key_is_believed(initiator: bool) -> None:
    capability.verify(capability.prove(HASH, initiator, KEY), HASH, initiator, KEY)
    capability.verify(capability.prove(HASH, initiator, KEY) + b"more", HASH, initiator, KEY)


@pytest.mark.parametrize("place", range(1, 33))
def test_a_changed_capability_is_refused(place: int) -> None:
    proof = bytearray(capability.prove(HASH, True, KEY))
    proof[place] ^= 1
    with pytest.raises(BadCapability):
        capability.verify(bytes(proof), HASH, True, KEY)


def test_a_capability_is_for_one_key_one_connection_and_one_direction() -> None:
    proof = capability.prove(HASH, True, KEY)
    for handshake_hash, initiator, key in [(b"\7" * 64, True, KEY), (HASH, False, KEY), (HASH, True, b"\7" * 32)]:
        with pytest.raises(BadCapability):
            capability.verify(proof, handshake_hash, initiator, key)


@given(st.binary(max_size=40))
def test_no_handshake_of_a_channel_causes_another_error_than_the_peers(handshake: bytes) -> None:
    with pytest.raises((BadCapability, Malformed, OverLimit)):
        capability.verify(handshake, HASH, True, KEY)

"""The wire byte for byte as npm's packages write it: what is in the vectors is made by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.feed import capability, encoding, hashing, manifest, messages, noise, secret_stream
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.messages import (
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
    Want,
)
from crow_plugins.feed.noise import IK, XX, Handshake, Pattern
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from crow_plugins.identity.keys import KeyPair

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "feed" / "wire.json").read_text())
FEED_KEY, OTHER_FEED_KEY = b"\7" * 32, b"\t" * 32


def handshakes(pattern: Pattern) -> tuple[Handshake, Handshake]:
    """Initiator and responder with the keys that the vectors were made with."""
    static, ephemeral = [KeyPair(bytes([n]) * 32) for n in (1, 2)], [KeyPair(bytes([n]) * 32) for n in (3, 4)]
    known = static[1].public_key if pattern is IK else None
    initiator = Handshake(
        initiator=True, static=static[0], ephemeral=ephemeral[0], pattern=pattern, remote_static=known
    )
    return initiator, Handshake(initiator=False, static=static[1], ephemeral=ephemeral[1], pattern=pattern)


def transcript(initiator: Handshake, responder: Handshake) -> list[bytes]:
    """Both sides speak until both are done."""
    messages = []
    while initiator.session is None or responder.session is None:
        writer, reader = (initiator, responder) if initiator.writes_next else (responder, initiator)
        messages.append(writer.write())
        reader.read(messages[-1])
    return messages


@pytest.mark.parametrize(("name", "pattern"), [("XX", XX), ("IK", IK)])
def test_a_handshake_has_the_bytes_of_npm(name: str, pattern: Pattern) -> None:
    vector = VECTORS[f"noise_{name}"]
    initiator, responder = handshakes(pattern)
    assert [message.hex() for message in transcript(initiator, responder)] == vector["messages"]
    assert initiator.session is not None
    assert initiator.session.handshake_hash.hex() == vector["hash"]
    assert initiator.session.send_key.hex() == vector["itx"]
    assert initiator.session.receive_key.hex() == vector["irx"]
    assert responder.session == noise.Session(
        initiator.session.receive_key,
        initiator.session.send_key,
        initiator.session.handshake_hash,
        KeyPair(b"\1" * 32).public_key,
    )


@pytest.mark.parametrize("name", ["XX", "IK"])
def test_a_stream_opens_with_the_id_of_npm(name: str) -> None:
    handshake_hash = bytes.fromhex(VECTORS[f"noise_{name}"]["hash"])
    ids = [secret_stream.stream_id(handshake_hash, initiator).hex() for initiator in (True, False)]
    assert ids == VECTORS[f"streamid_{name}"]


@pytest.mark.parametrize("name", ["XX", "IK"])
def test_a_capability_is_that_of_npm(name: str) -> None:
    handshake_hash = bytes.fromhex(VECTORS[f"noise_{name}"]["hash"])
    made = [capability.capability(handshake_hash, initiator, OTHER_FEED_KEY).hex() for initiator in (True, False)]
    assert made == VECTORS[f"cap_{name}"]


def test_a_feed_is_asked_for_under_the_name_of_npm() -> None:
    assert hashing.discovery_key(FEED_KEY).hex() == VECTORS["dkey"]


def test_a_leaf_has_the_hash_of_npm() -> None:
    assert hashing.leaf_hash(b"hello world").hex() == VECTORS["leaf"]
    assert hashing.leaf_hash(b"").hex() == VECTORS["leaf_empty"]


def node(index: int, size: int, byte: int) -> Node:
    return Node(index, size, bytes([byte]) * 32)


MANIFEST = manifest.encode(manifest.default(b"\5" * 32))
MESSAGES: dict[str, tuple[int, FeedMessage]] = {
    "sync": (0, Sync(fork=1, length=300, remote_length=70000, has_manifest=True)),
    "request": (
        1,
        Request(5, 0, ProofRequest(block=BlockRequest(1000, 3), upgrade=UpgradeRequest(10, 990), manifest=True), 1),
    ),
    "request_hash_seek": (1, Request(6, 2, ProofRequest(hash=HashRequest(9, 2), seek=SeekRequest(1234, 0)))),
    "cancel": (2, Cancel(5)),
    "data": (
        3,
        Data(
            5,
            Proof(
                fork=0,
                block=BlockProof(7, b"hello", (node(12, 300, 2),)),
                upgrade=UpgradeProof(0, 8, (node(3, 1200, 3),), (), b"\4" * 68),
                manifest=MANIFEST,
            ),
        ),
    ),
    "data_hash": (3, Data(6, Proof(fork=2, hash=HashProof(9, (node(9, 10, 1), node(13, 11, 2)))))),
    "nodata": (4, NoData(9, INVALID_REQUEST)),
    "nodata0": (4, NoData(9)),
    "want": (5, Want(0, 2_097_152)),
    "want_any": (5, Want(0, 64, any=True)),
    "bitfield": (7, Bitfield(32768, bytes([1, 0, 0, 0, 0, 0, 0, 0x80]))),
    "range": (8, Range(0, 1000)),
    "range1": (8, Range(7, 1)),
    "range_drop": (8, Range(10, 5, drop=True)),
    "extension": (9, Extension("crow/v1", b"hi")),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_has_the_bytes_of_npm(name: str) -> None:
    number, message = MESSAGES[name]
    payload = bytes.fromhex(VECTORS[name])
    assert messages.encode(message) == (number, payload)
    assert messages.decode(number, payload) == message


def test_a_channel_of_a_feed_opens_with_the_handshake_of_npm() -> None:
    handshake = bytes.fromhex(VECTORS["handshake"])
    assert len(handshake) == len(capability.prove(b"\0" * 64, True, FEED_KEY))
    with pytest.raises(capability.BadCapability):
        capability.verify(handshake, b"\0" * 64, True, FEED_KEY)


@pytest.mark.parametrize("number", [0, 252, 253, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**53 - 1])
def test_a_number_has_the_bytes_of_npm(number: int) -> None:
    assert encoding.uint(number).hex() in VECTORS["uints"]

"""Who may sign: manifests as npm writes them, keys from them, and every way in which one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from crow_plugins.feed import head, manifest
from crow_plugins.feed.errors import BadManifest, BadSignature, NotWritable, UnsupportedManifest
from crow_plugins.feed.limits import LINKED_MAX, MANIFEST_BYTES_MAX, SIGNERS_MAX, USER_DATA_BYTES_MAX
from crow_plugins.feed.manifest import Authority, Manifest, Signer
from tests.feed import making

KEYS = [SigningKey(bytes([number]) * 32) for number in range(1, SIGNERS_MAX + 2)]
SIGNERS = tuple(Signer(bytes(key.verify_key)) for key in KEYS)
TREE_HASH = b"\5" * 32

MANIFESTS = {
    "one signer": Manifest(SIGNERS[:1]),
    "the oldest": Manifest(SIGNERS[:1], version=0),
    "two of three": Manifest(SIGNERS[:3], quorum=2),
    "with links and data": Manifest(SIGNERS[:1], version=2, linked=(b"\1" * 32, b"\2" * 32), user_data=b"data"),
    "the newest": Manifest(SIGNERS[:1], version=3),
    "the largest": Manifest(SIGNERS[:SIGNERS_MAX], 1, 2, (b"\1" * 32,) * LINKED_MAX, bytes(USER_DATA_BYTES_MAX)),
}


@pytest.mark.parametrize("made", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(made: Manifest) -> None:
    encoded = manifest.encode(made)
    assert manifest.decode(encoded) == made
    assert manifest.authority(made.key, encoded).manifest == made
    assert len(encoded) <= MANIFEST_BYTES_MAX


@pytest.mark.parametrize("made", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_of_another_key_is_refused(made: Manifest) -> None:
    with pytest.raises(BadManifest, match="hash"):
        manifest.authority(b"\0" * 32, manifest.encode(made))


def refused(data: bytes) -> type[BadManifest]:
    with pytest.raises(BadManifest) as caught:
        manifest.decode(data)
    return caught.type


SIGNER = b"\0" * 33 + SIGNERS[0].public_key
KNOWN_KINDS = {
    "a version to come": b"\x04\0\0\1\1" + SIGNER,
    "patches": b"\1\1\0\1\1" + SIGNER,
    "a prologue": b"\1\2\0\1\1" + SIGNER + bytes(33),
    "version 0 without a signer": b"\0\0\0" + bytes(32),
    "version 0 with several signers": b"\0\0\2\0\1\1" + SIGNER,
}
WRONG = {
    "nothing": b"",
    "unknown flags": b"\1\x10\0\1\1" + SIGNER,
    "another hash": b"\1\0\1\1\1" + SIGNER,
    "another kind of signature": b"\1\0\0\1\1\1" + SIGNER[1:],
    "nobody": b"\1\0\0\1\0",
    "no quorum": b"\1\0\0\0\1" + SIGNER,
    "more quorum than signers": b"\1\0\0\2\1" + SIGNER,
    "one signer twice": b"\1\0\0\1\2" + SIGNER + SIGNER,
    "a degenerate key": b"\1\0\0\1\1" + bytes(65),
    "something after it": b"\1\0\0\1\1" + SIGNER + b"\0",
    "too short": b"\1\0\0\1\1" + SIGNER[:-1],
    "too long": bytes(MANIFEST_BYTES_MAX + 1),
    "too many signers": manifest.encode(Manifest(SIGNERS)),
    "too many links": manifest.encode(Manifest(SIGNERS[:1], 1, 2, (bytes(32),) * (LINKED_MAX + 1))),
    "too much data": manifest.encode(Manifest(SIGNERS[:1], 1, 2, None, bytes(USER_DATA_BYTES_MAX + 1))),
}


@pytest.mark.parametrize("data", KNOWN_KINDS.values(), ids=KNOWN_KINDS)
def test_a_kind_that_nobody_here_can_check_is_refused_by_name(data: bytes) -> None:
    assert refused(data) is UnsupportedManifest


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    assert refused(data) is BadManifest


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused_as_one(data: bytes) -> None:
    try:
        made = manifest.decode(data)
    except BadManifest:
        return
    assert manifest.decode(manifest.encode(made)) == made


@given(st.data())
def test_a_changed_byte_makes_another_key_or_no_manifest(data: st.DataObject) -> None:
    made = data.draw(st.sampled_from(list(MANIFESTS.values())))
    encoded = bytearray(manifest.encode(made))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadManifest):
        manifest.authority(made.key, bytes(encoded))


def test_a_feed_of_the_oldest_kind_needs_no_manifest() -> None:
    key = SIGNERS[0].public_key
    assert manifest.authority(key, None).compat
    assert manifest.authority(key, manifest.encode(manifest.default(key))).compat


def test_without_its_manifest_a_feed_of_today_is_taken_for_the_oldest_kind_and_not_believed() -> None:
    feed = making.written([b"block"])
    with pytest.raises(BadSignature):
        manifest.authority(feed.key, None).verify(feed.head.signature, feed.head.tree_hash, 1, 0)


def signature(authority: Authority, numbers: list[int], length: int = 7) -> bytes:
    message = head.signable(authority.key, TREE_HASH, length, 0)
    return manifest.contained([(number, KEYS[number].sign(message).signature) for number in numbers])


def test_a_quorum_of_different_signers_signs() -> None:
    made = MANIFESTS["two of three"]
    authority = Authority(made.key, made)
    for numbers in ([0, 1], [2, 0], [1, 2, 0]):
        authority.verify(signature(authority, numbers), TREE_HASH, 7, 0)


@pytest.mark.parametrize("numbers", [[], [0], [1, 1], [0, 3], [3, 0, 1]])
def test_less_than_a_quorum_does_not(numbers: list[int]) -> None:
    made = MANIFESTS["two of three"]
    authority = Authority(made.key, made)
    with pytest.raises(BadSignature):
        authority.verify(signature(authority, numbers), TREE_HASH, 7, 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_signature(data: bytes) -> None:
    for made in (MANIFESTS["one signer"], MANIFESTS["the oldest"], MANIFESTS["two of three"]):
        with pytest.raises(BadSignature):
            Authority(made.key, made).verify(data, TREE_HASH, 7, 0)


@pytest.mark.parametrize("kind", ["one signer", "the oldest", "compat"])
def test_a_signature_is_for_one_tree_one_length_one_fork_and_one_key(kind: str) -> None:
    made = MANIFESTS["one signer" if kind == "compat" else kind]
    authority = Authority(SIGNERS[0].public_key if kind == "compat" else made.key, made)
    good = authority.sign(SIGNERS[0].public_key, lambda message: KEYS[0].sign(message).signature, TREE_HASH, 7, 3)
    authority.verify(good, TREE_HASH, 7, 3)
    for tree_hash, length, fork in ((b"\6" * 32, 7, 3), (TREE_HASH, 8, 3), (TREE_HASH, 7, 4)):
        with pytest.raises(BadSignature):
            authority.verify(good, tree_hash, length, fork)
    other = Manifest(SIGNERS[1:2], version=made.version)
    with pytest.raises(BadSignature):
        Authority(other.key, other).verify(good, TREE_HASH, 7, 3)


def test_nobody_signs_for_another() -> None:
    made = MANIFESTS["one signer"]
    with pytest.raises(NotWritable):
        Authority(made.key, made).sign(SIGNERS[1].public_key, lambda message: b"", TREE_HASH, 7, 3)

"""One secret, one answer, for ever: byte for byte, and by a second road that shares no code with ours."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.encoding import RawEncoder
from nacl.hash import generichash
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from crow_plugins.identity import certificate, fingerprint, keys, sealing, signing, words
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.sealing import Cost
from tests.identity.making import VECTORS

identities = pytest.mark.parametrize("case", VECTORS["identities"], ids=["grackle", "swan"])
seals = pytest.mark.parametrize("case", VECTORS["seals"], ids=["plain", "device secret", "master seed"])


def hkdf(secret: str, label: bytes) -> bytes:
    """The first 32 bytes of HKDF-SHA256 without salt, from its definition."""
    extracted = hmac.digest(bytes(32), bytes.fromhex(secret), hashlib.sha256)
    return hmac.digest(extracted, label + b"\x01", hashlib.sha256)


def public_key(secret: str, label: bytes) -> str:
    return Ed25519PrivateKey.from_private_bytes(hkdf(secret, label)).public_key().public_bytes_raw().hex()


@identities
def test_secrets_make_the_keys_of_the_vectors(case: dict[str, Any]) -> None:
    device = keys.device_keys(bytes.fromhex(case["device_secret"]))
    assert keys.chain_key(bytes.fromhex(case["seed"])).public_key.hex() == case["chain_key"]
    assert device.instance.public_key.hex() == case["instance_key"]
    assert device.noise.public_key.hex() == case["noise_key"]
    assert device.feed.public_key.hex() == case["feed_key"]


@identities
def test_the_keys_of_the_vectors_follow_from_the_standards(case: dict[str, Any]) -> None:
    assert public_key(case["seed"], b"crow/chain/v1") == case["chain_key"]
    assert public_key(case["device_secret"], b"crow/instance/v1") == case["instance_key"]
    assert public_key(case["device_secret"], b"crow/noise/v1") == case["noise_key"]
    assert public_key(case["device_secret"], b"crow/feed/v1") == case["feed_key"]


@identities
def test_the_seed_has_the_words_of_the_vectors_and_the_chain_its_fingerprint(case: dict[str, Any]) -> None:
    assert words.of_secret(bytes.fromhex(case["seed"])) == case["words"]
    assert words.to_secret(case["words"]).hex() == case["seed"]
    assert fingerprint(bytes.fromhex(case["chain_key"])) == case["fingerprint"]


def instance_of(case: dict[str, Any]) -> Certificate:
    return Certificate(
        chain=bytes.fromhex(case["chain_key"]),
        instance_key=bytes.fromhex(case["instance_key"]),
        noise_key=bytes.fromhex(case["noise_key"]),
        feed_key=bytes.fromhex(case["feed_key"]),
        **case["instance"],
    )


@identities
def test_the_certificate_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    chain = keys.chain_key(bytes.fromhex(case["seed"]))
    assert certificate.issue(instance_of(case), chain) == case["certificate"].encode()
    assert certificate.read(case["certificate"], chain.public_key) == instance_of(case)


@identities
def test_a_stranger_is_shown_the_public_certificate_of_the_vectors(case: dict[str, Any]) -> None:
    chain_key, shown = bytes.fromhex(case["chain_key"]), case["public_certificate"].encode()
    assert certificate.public(case["certificate"].encode()) == shown
    known = certificate.read_public(shown, chain_key)
    assert known.feed_commitment == instance_of(case).feed_commitment == bytes.fromhex(case["feed_commitment"])
    whole, key = json.loads(case["certificate"]), case["feed_key"]
    assert json.loads(shown) == {name: value for name, value in whole.items() if name != "feed_key"}
    assert (whole["feed_key"], key in case["public_certificate"]) == (key, False)


@identities
def test_the_commitment_of_the_vectors_follows_from_the_standard(case: dict[str, Any]) -> None:
    message = b"crow/v1/feed-commitment\0" + bytes.fromhex(case["feed_key"])
    assert generichash(message, digest_size=32, encoder=RawEncoder).hex() == case["feed_commitment"]
    assert json.loads(case["certificate"])["certificate"]["feed_commitment"] == case["feed_commitment"]


@identities
def test_the_certificate_of_the_vectors_is_signed_by_the_standard(case: dict[str, Any]) -> None:
    signed = case["public_certificate"].encode()
    body, _, tail = signed.removeprefix(b'{"certificate":').partition(b',"signature":"')
    message = b"crow/v1/certificate\0" + case["chain_key"].encode() + b"\0" + body
    chain = Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["chain_key"]))
    chain.verify(bytes.fromhex(tail.removesuffix(b'"}').decode()), message)


@identities
def test_an_instance_signs_as_in_the_vectors(case: dict[str, Any]) -> None:
    message, instance_id = case["message"], case["instance"]["instance_id"]
    key, payload = keys.device_keys(bytes.fromhex(case["device_secret"])).instance, bytes.fromhex(message["payload"])
    assert signing.message(message["purpose"], instance_id, payload).hex() == message["bytes"]
    assert signing.sign(key, message["purpose"], instance_id, payload).hex() == message["signature"]


@seals
def test_secrets_lie_in_files_as_in_the_vectors(case: dict[str, Any]) -> None:
    secret = bytes.fromhex(case["secret"])
    content = case["content"].encode()
    if case["passphrase"] is None:
        assert sealing.plain(case["kind"], secret) == content
    else:
        salt, nonce = bytes.fromhex(case["salt"]), bytes.fromhex(case["nonce"])
        cost = Cost(case["passes"], case["memory"])
        sealed = sealing.sealed(case["kind"], secret, case["passphrase"], salt=salt, nonce=nonce, cost=cost)
        assert sealed == content
    assert sealing.secret_of(case["kind"], content, case["passphrase"]) == secret


def test_a_seal_of_the_vectors_opens_by_hand() -> None:
    case = VECTORS["seals"][1]
    stretched = argon2id.kdf(32, b"sesam", bytes.fromhex(case["salt"]), case["passes"], case["memory"])
    box = case["content"].partition('"box":"')[2].partition('"')[0]
    opened = SecretBox(hkdf(stretched.hex(), b"crow/seal/v1/device secret")).decrypt(bytes.fromhex(box))
    assert opened.hex() == case["secret"]

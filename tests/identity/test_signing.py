"""A signature is good for one purpose, one signer and one payload, and for nothing else."""

from __future__ import annotations

import pytest
from nacl.bindings import crypto_core_ed25519_scalar_add

from crow_plugins.identity import signing
from crow_plugins.identity.errors import BadLabel, BadSignature
from tests.identity.making import CHAIN, DEGENERATE_KEYS, DEVICE, GRACKLE

KEY = DEVICE.instance
GRACKLE_ID: str = GRACKLE["instance"]["instance_id"]
SWAN_ID = "00112233-4455-4677-8899-aabbccddeeff"
SIGNATURE = signing.sign(KEY, "token", GRACKLE_ID, b"payload")
ORDER = bytes.fromhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")


def test_a_signature_is_good_for_what_it_was_made_for() -> None:
    signing.verify(KEY.public_key, "token", GRACKLE_ID, b"payload", SIGNATURE)


@pytest.mark.parametrize(
    ("purpose", "signer", "payload"),
    [
        ("probe", GRACKLE_ID, b"payload"),
        ("toke", GRACKLE_ID, b"payload"),
        ("token", SWAN_ID, b"payload"),
        ("token", GRACKLE_ID, b"payloads"),
        ("token", GRACKLE_ID, b""),
        ("token", GRACKLE_ID, b"\0payload"),
    ],
)
def test_and_for_nothing_else(purpose: str, signer: str, payload: bytes) -> None:
    with pytest.raises(BadSignature):
        signing.verify(KEY.public_key, purpose, signer, payload, SIGNATURE)


def test_another_key_did_not_make_it() -> None:
    with pytest.raises(BadSignature):
        signing.verify(CHAIN.public_key, "token", GRACKLE_ID, b"payload", SIGNATURE)


def test_every_flipped_bit_is_noticed() -> None:
    for place in range(len(SIGNATURE) * 8):
        flipped = bytearray(SIGNATURE)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(BadSignature):
            signing.verify(KEY.public_key, "token", GRACKLE_ID, b"payload", bytes(flipped))


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadSignature):
        signing.verify(KEY.public_key, "token", GRACKLE_ID, b"payload", (SIGNATURE * 2)[:size])


def test_the_same_signature_in_its_other_form_is_refused() -> None:
    """s and s + order satisfy one equation; were both accepted, a signature would not be one name for one act."""
    number = int.from_bytes(SIGNATURE[32:], "little") + int.from_bytes(ORDER, "little")
    other = SIGNATURE[:32] + number.to_bytes(32, "little")
    assert crypto_core_ed25519_scalar_add(other[32:], bytes(32)) == SIGNATURE[32:]
    with pytest.raises(BadSignature):
        signing.verify(KEY.public_key, "token", GRACKLE_ID, b"payload", other)


@pytest.mark.parametrize("key", DEGENERATE_KEYS[:16])
def test_nothing_is_signed_by_a_degenerate_key(key: bytes) -> None:
    """With such a key and R = key or identity, s = 0, the equation can hold for any message."""
    for first in (key, b"\x01" + bytes(31)):
        with pytest.raises(BadSignature):
            signing.verify(key, "token", GRACKLE_ID, b"payload", first + bytes(32))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_signed_nothing(size: int) -> None:
    with pytest.raises(BadSignature):
        signing.verify((KEY.public_key * 2)[:size], "token", GRACKLE_ID, b"payload", SIGNATURE)


@pytest.mark.parametrize(
    "purpose", ["", "Token", "1a", "-a", "a b", "a/b", "a\0", "token\n", "tökèn", "a" * 33, "a_b", "٣a"]
)
def test_a_purpose_of_other_letters_is_refused(purpose: str) -> None:
    with pytest.raises(BadLabel, match="purpose"):
        signing.sign(KEY, purpose, GRACKLE_ID, b"")


@pytest.mark.parametrize("signer", ["", "-1", "grackle", "AB", "a\0b", GRACKLE_ID + "\n", "a" * 65])
def test_a_signer_that_is_neither_id_nor_key_is_refused(signer: str) -> None:
    with pytest.raises(BadLabel, match="signer"):
        signing.verify(KEY.public_key, "token", signer, b"", SIGNATURE)


def test_the_longest_labels_are_in() -> None:
    assert signing.message("a" * 32, "f" * 64, b"\0") == b"crow/v1/" + b"a" * 32 + b"\0" + b"f" * 64 + b"\0\0"

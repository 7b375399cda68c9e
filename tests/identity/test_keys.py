"""Keys follow from their secret alone, show only their public half, and must be points that a machine can have."""

from __future__ import annotations

import copy

import pytest

from crow_plugins.identity import keys
from crow_plugins.identity.errors import DegenerateKey
from crow_plugins.identity.keys import KeyPair
from tests.identity.making import CHAIN, DEGENERATE_KEYS, DEGENERATE_WHY, DEVICE


def test_one_secret_makes_four_keys_that_differ() -> None:
    secret = bytes(32)
    device = keys.device_keys(secret)
    pairs = (keys.chain_key(secret), device.instance, device.noise, device.feed)
    assert len({pair.public_key for pair in pairs}) == len({pair.seed for pair in pairs}) == 4


def test_a_key_pair_is_what_its_seed_makes() -> None:
    again = KeyPair(DEVICE.noise.seed)
    assert again.public_key == DEVICE.noise.public_key
    assert again.sign(b"x") == DEVICE.noise.sign(b"x")


@pytest.mark.parametrize("shown", [repr(DEVICE), str(DEVICE), f"{CHAIN}", repr([CHAIN]), repr(copy.copy(DEVICE))])
def test_no_text_of_a_key_shows_its_secret(shown: str) -> None:
    for pair in (CHAIN, DEVICE.instance, DEVICE.noise, DEVICE.feed):
        assert pair.seed.hex() not in shown
        assert repr(pair.seed) not in shown
    assert "KeyPair(" in shown


@pytest.mark.parametrize("key", DEGENERATE_KEYS, ids=DEGENERATE_WHY)
def test_a_degenerate_key_is_refused(key: bytes) -> None:
    with pytest.raises(DegenerateKey, match="noise key"):
        keys.check_public_key(key, "noise key")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(DegenerateKey):
        keys.check_public_key((CHAIN.public_key * 2)[:size], "chain")


def test_honest_keys_are_accepted() -> None:
    for number in range(50):
        keys.check_public_key(keys.chain_key(bytes([number]) * 32).public_key, "chain")

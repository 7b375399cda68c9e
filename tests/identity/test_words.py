"""Words come back as the secret they were made of; a slip of the pen is found, and named as what it is."""

from __future__ import annotations

import secrets

import pytest

from crow_plugins.identity import fingerprint, words
from crow_plugins.identity.errors import UnknownWord, WrongChecksum, WrongWordCount
from tests.identity.making import CHAIN, GRACKLE, OTHER_CHAIN

WORDS: str = GRACKLE["words"]
SEED = bytes.fromhex(GRACKLE["seed"])


def with_word(position: int, word: str) -> str:
    changed = WORDS.split()
    changed[position - 1] = word
    return " ".join(changed)


def test_every_secret_comes_back_from_its_words() -> None:
    for _ in range(100):
        secret = secrets.token_bytes(32)
        assert words.to_secret(words.of_secret(secret)) == secret, secret.hex()


def test_the_words_of_zero_are_those_of_the_standard() -> None:
    assert words.of_secret(bytes(32)) == "abandon " * 23 + "art"


@pytest.mark.parametrize(
    "typed", [WORDS.upper(), WORDS.title(), f"  {WORDS}\n", WORDS.replace(" ", "   "), WORDS.replace(" ", "\r\n\t")]
)
def test_case_and_spacing_do_not_matter(typed: str) -> None:
    assert words.to_secret(typed) == SEED


@pytest.mark.parametrize("count", [0, 1, 12, 23, 25, 48])
def test_too_few_or_too_many_are_counted(count: int) -> None:
    with pytest.raises(WrongWordCount, match=f"these are {count} words"):
        words.to_secret(" ".join((WORDS.split() * 2)[:count]))


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("abandom", "abandon"), ("bandon", "abandon"), ("zooo", "zoo"), ("liyar", "liar"), ("aboutt", "about")],
)
def test_a_word_that_is_none_is_named_by_its_place_with_the_nearest(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownWord, match=f'word 7 .*"{nearest}"') as refused:
        words.to_secret(with_word(7, typed))
    assert (refused.value.position, refused.value.nearest) == (7, nearest)


@pytest.mark.parametrize("typed", ["qqqqqq", "123", "ж", "x" * 1_000_000])
def test_a_word_like_none_is_not_guessed_at_nor_repeated(typed: str) -> None:
    with pytest.raises(UnknownWord, match="look at it again") as refused:
        words.to_secret(with_word(24, typed))
    assert typed not in str(refused.value)


def test_another_word_of_the_list_is_caught_by_the_checksum() -> None:
    with pytest.raises(WrongChecksum):
        words.to_secret(with_word(1, "zoo"))


def test_swapped_words_are_caught_by_the_checksum() -> None:
    first, second, *rest = WORDS.split()
    with pytest.raises(WrongChecksum):
        words.to_secret(" ".join([second, first, *rest]))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_words_are_made_of_32_bytes_only(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        words.of_secret(bytes(size))


def test_a_fingerprint_is_eight_words_of_the_list_and_tells_chains_apart() -> None:
    ours, theirs = fingerprint(CHAIN.public_key), fingerprint(OTHER_CHAIN.public_key)
    assert len(ours.split()) == len(theirs.split()) == 8
    assert not set(ours.split()) & set(theirs.split())


def test_every_bit_of_a_key_changes_the_fingerprint() -> None:
    seen = {fingerprint(CHAIN.public_key)}
    for place in range(256):
        flipped = bytearray(CHAIN.public_key)
        flipped[place // 8] ^= 1 << place % 8
        seen.add(fingerprint(bytes(flipped)))
    assert len(seen) == 257

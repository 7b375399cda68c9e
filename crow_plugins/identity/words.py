"""Secrets and keys as words that people can write down, read aloud and compare (the English list of BIP 39)."""

from __future__ import annotations

import difflib
import hashlib
from functools import cache

from mnemonic import Mnemonic

from crow_plugins.identity.errors import UnknownWord, WrongChecksum, WrongWordCount
from crow_plugins.identity.keys import SECRET_BYTES

WORD_COUNT = 24
FINGERPRINT_COUNT = 8
FINGERPRINT_LABEL = b"crow/v1/fingerprint\0"
BITS_PER_WORD = 11
TELLING_LETTERS = 4  # no two words of the list begin with the same four


def of_secret(secret: bytes) -> str:
    """The 24 words of 32 secret bytes, a space between each two."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{WORD_COUNT} words are made of {SECRET_BYTES} bytes, not of {len(secret)}")
    return _english().to_mnemonic(secret)


def to_secret(text: str) -> bytes:
    """The 32 bytes that 24 words stand for, in any case and spacing.

    Raises `WrongWordCount`, `UnknownWord` with the nearest word, or `WrongChecksum`.
    """
    words = text.lower().split()
    if len(words) != WORD_COUNT:
        raise WrongWordCount(len(words), WORD_COUNT)
    for position, word in enumerate(words, 1):
        if word not in _known():
            raise UnknownWord(position, _nearest(word))
    try:
        return bytes(_english().to_entropy(words))
    except ValueError as error:
        raise WrongChecksum from error


def fingerprint(public_key: bytes) -> str:
    """Eight words (88 bits) for a chain's public key: equal on two machines if they are of one chain."""
    digest = hashlib.sha256(FINGERPRINT_LABEL + public_key).digest()
    number = int.from_bytes(digest) >> (8 * len(digest) - FINGERPRINT_COUNT * BITS_PER_WORD)
    places = [number >> BITS_PER_WORD * left & 2047 for left in reversed(range(FINGERPRINT_COUNT))]
    return " ".join(_english().wordlist[place] for place in places)


def _nearest(word: str) -> str | None:
    if len(word) >= TELLING_LETTERS:
        same_start = [known for known in _known() if known.startswith(word[:TELLING_LETTERS])]
        if same_start:
            return same_start[0]
    # A word's length bounds the time this takes.
    return next(iter(difflib.get_close_matches(word[:16], sorted(_known()), n=1, cutoff=0.5)), None)


@cache
def _english() -> Mnemonic:
    return Mnemonic("english")


@cache
def _known() -> frozenset[str]:
    return frozenset(_english().wordlist)

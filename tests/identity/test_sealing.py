"""A sealed secret opens with its passphrase, as the kind it is, at a cost within bounds; and in no other way."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import canonical_json, sealing
from crow_plugins.identity.errors import (
    EmptyPassphrase,
    NoMemory,
    PassphraseMissing,
    SealDamaged,
    SealError,
    SealNewer,
    WrongPassphrase,
)
from crow_plugins.identity.sealing import MEMORY_MAX, MEMORY_MIN, PASSES_MAX, PASSES_MIN, USUAL_COST, Cost
from tests.identity.making import LEAST_COST

KIND, SECRET, PASSPHRASE = "device secret", bytes(range(32)), "correct horse"
SALT, NONCE = bytes(16), bytes(24)


def sealed(passphrase: str = PASSPHRASE, kind: str = KIND, cost: Cost = LEAST_COST) -> bytes:
    return sealing.sealed(kind, SECRET, passphrase, salt=SALT, nonce=NONCE, cost=cost)


SEALED, PLAIN = sealed(), sealing.plain(KIND, SECRET)


def changed(content: bytes, **changes: object) -> bytes:
    return canonical_json.encode({**json.loads(content), **changes})


def with_kdf(**changes: object) -> bytes:
    return changed(SEALED, kdf={**json.loads(SEALED)["kdf"], **changes})


def test_a_sealed_secret_opens_with_its_passphrase() -> None:
    assert sealing.is_sealed(KIND, SEALED)
    assert sealing.secret_of(KIND, SEALED, PASSPHRASE) == SECRET


def test_the_usual_cost_is_one_that_can_be_read_again() -> None:
    assert sealing.secret_of(KIND, sealed(cost=USUAL_COST), PASSPHRASE) == SECRET


def test_neither_secret_nor_passphrase_shows_in_a_seal() -> None:
    assert SECRET.hex().encode() not in SEALED
    assert PASSPHRASE.encode() not in SEALED


def test_a_plain_secret_needs_no_passphrase_and_looks_at_none() -> None:
    assert not sealing.is_sealed(KIND, PLAIN)
    assert sealing.secret_of(KIND, PLAIN) == sealing.secret_of(KIND, PLAIN, "any") == SECRET


def test_any_layout_of_the_file_is_read() -> None:
    assert sealing.secret_of(KIND, json.dumps(json.loads(PLAIN), indent=4).encode()) == SECRET


def test_a_missing_passphrase_is_asked_for() -> None:
    with pytest.raises(PassphraseMissing, match="CROW_PASSPHRASE_FILE"):
        sealing.secret_of(KIND, SEALED)


@pytest.mark.parametrize("passphrase", ["correct horse ", "Correct horse", "correcthorse", "\udc80"])
def test_another_passphrase_is_a_wrong_one(passphrase: str) -> None:
    with pytest.raises(WrongPassphrase, match="device secret"):
        sealing.secret_of(KIND, SEALED, passphrase)


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(EmptyPassphrase):
        sealed("")
    with pytest.raises(EmptyPassphrase):
        sealing.secret_of(KIND, SEALED, "")


def test_an_accent_may_be_typed_in_either_way() -> None:
    content = sealed(unicodedata.normalize("NFC", "Öl à l'ail"))
    assert sealing.secret_of(KIND, content, unicodedata.normalize("NFD", "Öl à l'ail")) == SECRET


@pytest.mark.parametrize("content", [SEALED, PLAIN], ids=["sealed", "plain"])
def test_one_kind_of_secret_cannot_be_passed_off_as_another(content: bytes) -> None:
    with pytest.raises(SealDamaged, match="another secret"):
        sealing.secret_of("master seed", content, PASSPHRASE)


def test_renaming_the_kind_in_a_seal_does_not_open_it() -> None:
    with pytest.raises(WrongPassphrase):
        sealing.secret_of("master seed", changed(SEALED, kind="master seed"), PASSPHRASE)


def test_no_byte_of_the_box_can_be_changed() -> None:
    box = bytes.fromhex(json.loads(SEALED)["box"])
    for place in range(0, len(box), 7):
        flipped = bytearray(box)
        flipped[place] ^= 1
        with pytest.raises(WrongPassphrase):
            sealing.secret_of(KIND, changed(SEALED, box=flipped.hex()), PASSPHRASE)


@pytest.mark.parametrize(
    "kdf",
    [
        {"salt": "01" * 16},
        {"passes": LEAST_COST.passes + 1},
        {"memory": LEAST_COST.memory + (1 << 20)},
    ],
)
def test_another_salt_or_cost_makes_another_key(kdf: dict[str, object]) -> None:
    with pytest.raises(WrongPassphrase):
        sealing.secret_of(KIND, with_kdf(**kdf), PASSPHRASE)


@pytest.mark.parametrize(
    "cost",
    [
        Cost(PASSES_MIN - 1, MEMORY_MIN),
        Cost(PASSES_MAX + 1, MEMORY_MIN),
        Cost(PASSES_MIN, MEMORY_MIN - 1),
        Cost(PASSES_MIN, MEMORY_MAX + 1),
        Cost(-1, MEMORY_MIN),
        Cost(PASSES_MIN, -MEMORY_MIN),
    ],
)
def test_a_cost_out_of_bounds_is_refused_before_it_is_paid(cost: Cost) -> None:
    with pytest.raises(SealDamaged, match="out of bounds"):
        sealing.secret_of(KIND, with_kdf(passes=cost.passes, memory=cost.memory), PASSPHRASE)
    with pytest.raises(ValueError, match="out of bounds"):
        sealed(cost=cost)


@pytest.mark.parametrize(
    "kdf",
    [
        None,
        [],
        "argon2id",
        {},
        {"name": "argon2id", "passes": 1, "memory": MEMORY_MIN},
        {**json.loads(SEALED)["kdf"], "name": "argon2i"},
        {**json.loads(SEALED)["kdf"], "threads": 4},
        {**json.loads(SEALED)["kdf"], "passes": "1"},
        {**json.loads(SEALED)["kdf"], "passes": True},
        {**json.loads(SEALED)["kdf"], "memory": True},
        {**json.loads(SEALED)["kdf"], "memory": None},
        {**json.loads(SEALED)["kdf"], "salt": 7},
        {**json.loads(SEALED)["kdf"], "salt": "00" * 15},
    ],
)
def test_another_way_to_make_the_key_is_refused(kdf: object) -> None:
    with pytest.raises(SealDamaged):
        sealing.secret_of(KIND, changed(SEALED, kdf=kdf), PASSPHRASE)


@pytest.mark.parametrize("content", [SEALED, PLAIN], ids=["sealed", "plain"])
def test_a_newer_format_says_to_update(content: bytes) -> None:
    for read in (sealing.is_sealed, sealing.secret_of):
        with pytest.raises(SealNewer, match="update"):
            read(KIND, changed(content, v=2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\x00" * 100,
        PLAIN[:-1],
        PLAIN + b"}",
        b" " * (sealing.SIZE_MAX + 1) + PLAIN,
        changed(PLAIN, v=0),
        changed(PLAIN, v="1"),
        changed(PLAIN, v=True),
        changed(PLAIN, more=1),
        changed(PLAIN, box="00"),
        changed(PLAIN, kind=None),
        changed(PLAIN, secret=None),
        changed(PLAIN, secret="00" * 31),
        changed(PLAIN, secret="0G" * 32),
        changed(PLAIN, secret="AB" * 32),
        changed(PLAIN, secret="00" * 32 + "\n"),
        changed(SEALED, box="00" * 71),
        PLAIN.replace(b'"v":1', b'"v":1,"v":1'),
    ],
    ids=lambda content: repr(content[-24:]),
)
def test_a_damaged_file_is_called_so(content: bytes) -> None:
    with pytest.raises(SealDamaged, match="restore"):
        sealing.secret_of(KIND, content, PASSPHRASE)


@given(st.dictionaries(st.sampled_from(["v", "kind", "secret", "kdf", "box"]), st.integers() | st.text() | st.none()))
def test_of_any_object_comes_a_named_refusal(fields: dict[str, Any]) -> None:
    with pytest.raises(SealError):
        sealing.secret_of(KIND, json.dumps({"v": 1, **fields}).encode(), PASSPHRASE)


def test_memory_that_cannot_be_had_says_how_much_it_was() -> None:
    assert "256 MiB" in str(NoMemory(USUAL_COST.memory))

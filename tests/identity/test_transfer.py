"""An exported identity opens with its passphrase and gives the seed; nothing else passes for one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import canonical_json, sealing, transfer
from crow_plugins.identity.errors import (
    DeviceSecretCarried,
    EmptyPassphrase,
    ExportUnsealed,
    IdentityError,
    NotAnExport,
    PassphraseMissing,
    SealDamaged,
    SealError,
    SealNewer,
    TransferError,
    WrongPassphrase,
)
from crow_plugins.identity.sealing import USUAL_COST, Cost
from crow_plugins.identity.transfer import SEED_KIND, SIZE_MAX, Transfer, exported, imported
from tests.identity.making import CHAIN, GRACKLE, LEAST_COST, SWAN

VECTOR = json.loads((Path(__file__).parent / "vectors-joining.json").read_text())["transfer"]
SEED, PASSPHRASE = bytes.fromhex(GRACKLE["seed"]), "correct horse"
SALT, NONCE = bytes(16), bytes(24)


def export(seed: bytes = SEED, passphrase: str = PASSPHRASE, cost: Cost = LEAST_COST) -> bytes:
    return exported(seed, passphrase, salt=SALT, nonce=NONCE, cost=cost)


CONTENT = export()
FIELDS: dict[str, Any] = json.loads(CONTENT)


def changed(**changes: object) -> bytes:
    return canonical_json.encode({**FIELDS, **changes})


def without(field: str) -> bytes:
    return canonical_json.encode({name: value for name, value in FIELDS.items() if name != field})


def test_the_file_is_that_of_the_vectors() -> None:
    assert CONTENT.decode() == VECTOR["content"]
    assert imported(VECTOR["content"].encode(), VECTOR["passphrase"]) == Transfer(SEED, CHAIN.public_key)


def test_an_identity_comes_back_from_its_file_at_the_usual_cost() -> None:
    assert imported(export(cost=USUAL_COST), PASSPHRASE) == Transfer(SEED, CHAIN.public_key)


def test_neither_secret_nor_passphrase_shows_in_the_file_or_in_a_representation() -> None:
    assert SEED.hex().encode() not in CONTENT
    assert PASSPHRASE.encode() not in CONTENT
    assert str(SEED) not in repr(Transfer(SEED, CHAIN.public_key))
    assert SEED.hex() not in repr(Transfer(SEED, CHAIN.public_key))


def test_nothing_of_a_machine_is_in_the_file() -> None:
    assert FIELDS.keys() == {"v", "kind", "chain", "seed"}
    assert b"device" not in CONTENT
    for key in ("device_secret", "instance_key", "noise_key", "feed_key"):
        assert GRACKLE[key].encode() not in CONTENT


def test_any_layout_of_the_file_is_read() -> None:
    assert imported(json.dumps(FIELDS, indent=4).encode(), PASSPHRASE).seed == SEED


def test_passphrases_that_are_missing_empty_or_wrong_are_told_apart() -> None:
    with pytest.raises(PassphraseMissing):
        imported(CONTENT, None)
    with pytest.raises(EmptyPassphrase):
        imported(CONTENT, "")
    with pytest.raises(EmptyPassphrase):
        export(passphrase="")
    with pytest.raises(WrongPassphrase):
        imported(CONTENT, "incorrect horse")


def test_a_file_that_is_cut_short_anywhere_is_damaged() -> None:
    for length in range(len(CONTENT)):
        with pytest.raises(SealDamaged):
            imported(CONTENT[:length], PASSPHRASE)


def test_no_byte_of_the_file_can_be_changed() -> None:
    for place in range(len(CONTENT)):
        flipped = bytearray(CONTENT)
        flipped[place] ^= 1
        with pytest.raises((SealError, TransferError)):
            imported(bytes(flipped), PASSPHRASE)


def test_a_chain_that_is_not_the_seeds_is_refused() -> None:
    with pytest.raises(SealDamaged, match="another chain"):
        imported(changed(chain=SWAN["chain_key"]), PASSPHRASE)


def test_a_seed_that_was_swapped_for_another_is_refused() -> None:
    theirs = json.loads(export(bytes.fromhex(SWAN["seed"])))["seed"]
    with pytest.raises(SealDamaged, match="another chain"):
        imported(changed(seed=theirs), PASSPHRASE)


@pytest.mark.parametrize(
    "content",
    [
        changed(device_secret="00" * 32),
        changed(device={"secret": "00" * 32}),
        changed(seed={**FIELDS["seed"], "Device Secret": 1}),
        changed(more=[{"device": 1}]),
        sealing.plain("device secret", SEED),
        sealing.sealed("device secret", SEED, PASSPHRASE, salt=SALT, nonce=NONCE, cost=LEAST_COST),
        changed(seed=json.loads(sealing.plain("device secret", SEED))),
    ],
    ids=["a field", "an object", "in the seal", "in a list", "plain file", "sealed file", "for the seed"],
)
def test_a_device_secret_is_refused_wherever_it_stands(content: bytes) -> None:
    with pytest.raises(DeviceSecretCarried, match="must stay there"):
        imported(content, PASSPHRASE)


def test_a_seed_that_is_not_encrypted_is_refused() -> None:
    with pytest.raises(ExportUnsealed):
        imported(changed(seed=json.loads(sealing.plain(SEED_KIND, SEED))), PASSPHRASE)


@pytest.mark.parametrize(
    "content",
    [
        sealing.plain("master seed", SEED),
        sealing.sealed("master seed", SEED, PASSPHRASE, salt=SALT, nonce=NONCE, cost=LEAST_COST),
        changed(kind="crow backup"),
        changed(kind=None),
        without("kind"),
        GRACKLE["certificate"].encode(),
        b"[]",
        b'"crow identity"',
        b"1",
    ],
)
def test_a_file_of_another_kind_is_not_an_export(content: bytes) -> None:
    with pytest.raises(NotAnExport):
        imported(content, PASSPHRASE)


def test_a_homes_own_seed_does_not_pass_within_an_export() -> None:
    own = sealing.sealed("master seed", SEED, PASSPHRASE, salt=SALT, nonce=NONCE, cost=LEAST_COST)
    with pytest.raises(SealDamaged, match="another secret"):
        imported(changed(seed=json.loads(own)), PASSPHRASE)


@pytest.mark.parametrize("content", [changed(v=2, more=1), changed(seed={**FIELDS["seed"], "v": 2})])
def test_a_newer_file_asks_for_a_newer_release(content: bytes) -> None:
    with pytest.raises(SealNewer):
        imported(content, PASSPHRASE)


@pytest.mark.parametrize(
    "content",
    [
        *(without(field) for field in ("v", "chain", "seed")),
        *(changed(v=version) for version in (0, True, "1", None)),
        *(changed(chain=chain) for chain in (1, "", "00", GRACKLE["chain_key"].upper())),
        changed(seed=None),
        changed(seed=[]),
        changed(seed={}),
        changed(more=1),
        b"",
        b"\xff",
        b" " * (SIZE_MAX + 1),
    ],
)
def test_what_is_not_exactly_an_export_is_damaged(content: bytes) -> None:
    with pytest.raises(SealDamaged):
        imported(content, PASSPHRASE)


values = st.none() | st.booleans() | st.integers(-3, 3) | st.text(st.characters(codec="ascii"), max_size=9)


@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["v", "kind", "chain", "seed", "x"]), values | st.dictionaries(st.just("kind"), values)
    ).map(lambda changes: changed(**changes))
)
def test_of_any_bytes_comes_an_identity_or_a_named_refusal(content: bytes) -> None:
    with suppress(IdentityError):
        transfer.imported(content, None)

"""A revocation is believed when our chain made exactly it; and all who heard the same statements agree."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import canonical_json, signing
from crow_plugins.identity.canonical_json import INTEGER_MAX
from crow_plugins.identity.errors import (
    DegenerateKey,
    IdentityError,
    RevocationError,
    RevocationForeign,
    RevocationForged,
    RevocationMalformed,
    RevocationNewer,
    RevocationTooLarge,
)
from crow_plugins.identity.revocation import (
    EPOCHS_MAX,
    SIZE_MAX,
    STATEMENTS_PER_INSTANCE_MAX,
    Branch,
    Held,
    Revocation,
    Statement,
    counts,
    effective,
    issue,
    merge,
    read,
)
from tests.identity.making import CHAIN, DEGENERATE_KEYS, DEVICE, GRACKLE, NOW, OTHER_CHAIN, SWAN, Gone

VECTOR = json.loads((Path(__file__).parent / "vectors-joining.json").read_text())["revocation"]
CHAIN_KEY = CHAIN.public_key
GRACKLE_ID, SWAN_ID = GRACKLE["instance"]["instance_id"], SWAN["instance"]["instance_id"]
THIRD_ID = "77777777-7777-4777-8777-777777777777"
EPOCH, OTHER_EPOCH = "9f3a01c2d4e5", "000000000000"


def a_revocation(**changes: Any) -> Revocation:
    """Of swan: seven blocks count, and what was rescued up to 42; but for the changes."""
    plain = Revocation(
        chain=CHAIN_KEY,
        instance_id=SWAN_ID,
        serial=1,
        feed=Branch(fork=0, length=7, tree_hash=bytes(range(32))),
        upto={EPOCH: 42},
        issued_at=NOW,
    )
    return replace(plain, **changes)


def issued(**changes: Any) -> Statement:
    return issue(a_revocation(**changes), CHAIN)


SIGNED = issued().signed
FIELDS: dict[str, Any] = json.loads(SIGNED)["revocation"]


def signed_with(**changes: object) -> bytes:
    """What the chain key would have signed, had it not looked."""
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if not isinstance(value, Gone)}
    signature = signing.sign(CHAIN, "revocation", CHAIN_KEY.hex(), canonical_json.encode(fields))
    return canonical_json.encode({"revocation": fields, "signature": signature.hex()})


# ---- vectors --------------------------------------------------------------------------------------


def test_the_statement_is_that_of_the_vectors() -> None:
    assert SIGNED.decode() == VECTOR["signed"]
    assert read(VECTOR["signed"].encode(), CHAIN_KEY).revocation == a_revocation()


def test_the_statement_of_the_vectors_is_signed_by_the_standard() -> None:
    body, _, tail = VECTOR["signed"].removeprefix('{"revocation":').partition(',"signature":"')
    message = f"crow/v1/revocation\0{GRACKLE['chain_key']}\0{body}".encode()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(GRACKLE["chain_key"]))
    key.verify(bytes.fromhex(tail.removesuffix('"}')), message)


# ---- believed and refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"upto": {}},
        {"upto": {EPOCH: 1, OTHER_EPOCH: INTEGER_MAX}},
        {"feed": Branch(0, 0, bytes(32))},
        {"feed": Branch(INTEGER_MAX, INTEGER_MAX, b"\xff" * 32)},
        {"serial": 9},
    ],
)
def test_what_was_issued_is_read_back(changes: dict[str, Any]) -> None:
    assert read(issued(**changes).signed, CHAIN_KEY).revocation == a_revocation(**changes)


def test_a_statement_of_another_identity_is_foreign() -> None:
    with pytest.raises(RevocationForeign):
        read(SIGNED, OTHER_CHAIN.public_key)
    with pytest.raises(RevocationForeign):
        issue(a_revocation(), OTHER_CHAIN)


@pytest.mark.parametrize("key", [OTHER_CHAIN, DEVICE.instance], ids=["another chain", "a machine"])
def test_only_our_chain_key_revokes(key: Any) -> None:
    signature = signing.sign(key, "revocation", CHAIN_KEY.hex(), canonical_json.encode(FIELDS))
    with pytest.raises(RevocationForged):
        read(canonical_json.encode({"revocation": FIELDS, "signature": signature.hex()}), CHAIN_KEY)


def test_a_signature_of_ours_for_another_purpose_revokes_nobody() -> None:
    signature = signing.sign(CHAIN, "certificate", CHAIN_KEY.hex(), canonical_json.encode(FIELDS))
    with pytest.raises(RevocationForged):
        read(canonical_json.encode({"revocation": FIELDS, "signature": signature.hex()}), CHAIN_KEY)


def test_no_bit_of_it_can_be_flipped() -> None:
    for place in range(len(SIGNED) * 8):
        flipped = bytearray(SIGNED)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises((RevocationError, DegenerateKey)):
            read(bytes(flipped), CHAIN_KEY)


def test_no_byte_of_it_can_be_missing_or_doubled() -> None:
    for place in range(len(SIGNED)):
        doubled = SIGNED[:place] + SIGNED[place : place + 1] + SIGNED[place:]
        for changed in (SIGNED[:place], SIGNED[place + 1 :], SIGNED[:place] + SIGNED[place + 1 :], doubled):
            with pytest.raises((RevocationError, DegenerateKey)):
                read(changed, CHAIN_KEY)


@pytest.mark.parametrize(
    "changed",
    [
        SIGNED + b" ",
        SIGNED.replace(b":", b": ", 1),
        SIGNED[:-1] + b',"unsigned":1}',
        b"{}",
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_another_spelling_of_it_is_refused(changed: bytes) -> None:
    with pytest.raises(RevocationMalformed):
        read(changed, CHAIN_KEY)


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("value", [Gone(), None, True, [], "", "x", -1, {"x": 1}, {EPOCH: 0}], ids=repr)
def test_a_field_that_is_missing_or_of_another_kind_is_refused(field: str, value: object) -> None:
    with pytest.raises(RevocationMalformed):
        read(signed_with(**{field: value}), CHAIN_KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"feed": {**FIELDS["feed"], "more": 1}},
        {"feed": {**FIELDS["feed"], "length": -1}},
        {"feed": {**FIELDS["feed"], "fork": True}},
        {"feed": {**FIELDS["feed"], "tree_hash": "00" * 31}},
        {"upto": {"9F3A01C2D4E5": 1}},
        {"upto": {EPOCH + "0": 1}},
        {"upto": {EPOCH: "1"}},
        {"instance_id": SWAN_ID.upper()},
        {"instance_id": SWAN_ID.replace("-", "")},
    ],
    ids=str,
)
def test_a_field_that_no_statement_has_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RevocationMalformed):
        read(signed_with(**changes), CHAIN_KEY)


@pytest.mark.parametrize(
    "changes", [{"serial": 1.5}, {"issued_at": 2**53}, {"instance_id": "\ud800"}, {"serial": 0}, {"upto": {"x": 1}}]
)
def test_what_could_not_be_read_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(RevocationMalformed):
        issued(**changes)


def test_a_newer_statement_asks_for_a_newer_release() -> None:
    with pytest.raises(RevocationNewer):
        read(signed_with(v=2, why="stolen"), CHAIN_KEY)


@pytest.mark.parametrize("key", DEGENERATE_KEYS)
def test_no_chain_has_a_degenerate_key(key: bytes) -> None:
    with pytest.raises(DegenerateKey):
        read(signed_with(chain=key.hex()), key)


def test_epochs_and_size_are_bounded_and_the_longest_statement_fits() -> None:
    epochs = {f"{number:012x}": INTEGER_MAX for number in range(EPOCHS_MAX)}
    longest = issued(upto=epochs, feed=Branch(INTEGER_MAX, INTEGER_MAX, bytes(32)), serial=INTEGER_MAX)
    assert len(longest.signed) <= SIZE_MAX
    with pytest.raises(RevocationMalformed, match="epochs"):
        issued(upto={**epochs, "f" * 12: 1})
    with pytest.raises(RevocationTooLarge):
        read(b"x" * (SIZE_MAX + 1), CHAIN_KEY)
    with pytest.raises(RevocationMalformed):
        read(b"x" * SIZE_MAX, CHAIN_KEY)


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.characters(codec="ascii"), max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*FIELDS, "revocation", "signature", "fork", "length"]), inner, max_size=8
            )
        ),
    ).map(canonical_json.encode)
)
def test_of_any_bytes_comes_a_named_refusal(data: bytes) -> None:
    with pytest.raises(IdentityError):
        read(data, CHAIN_KEY)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none() | st.integers() | st.text(max_size=70), max_size=3))
def test_of_any_field_that_the_chain_signed_unseen_comes_a_statement_or_a_named_refusal(changes: Any) -> None:
    with suppress(IdentityError):
        read(signed_with(**changes), CHAIN_KEY)


# ---- the set --------------------------------------------------------------------------------------

POOL = [
    issued(instance_id=instance_id, feed=Branch(fork, length, bytes([hashed]) * 32), upto={EPOCH: length + 1})
    for instance_id, fork, length, hashed in itertools.product([SWAN_ID, THIRD_ID], [0, 1], [0, 3, 5], [0, 1])
]
sets = st.frozensets(st.sampled_from(POOL))


@given(sets, sets, sets)
def test_sets_merge_alike_in_whatever_order_they_are_heard(a: Any, b: Any, c: Any) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c)
    assert merge(merge(a), merge(a)) == merge(a)


@given(st.lists(st.sampled_from(POOL)), st.randoms(use_true_random=False))
def test_what_counts_does_not_depend_on_order_nor_on_merging(statements: list[Statement], random: Any) -> None:
    mixed = random.sample(statements, len(statements))
    assert effective(statements) == effective(mixed) == effective(merge(mixed[:3], mixed[3:]))


def test_byte_identical_statements_are_one() -> None:
    assert len(merge([issued()], [read(SIGNED, CHAIN_KEY)], [issued(serial=2)])) == 2


def test_of_one_instance_the_first_are_kept_and_of_others_none_is_lost() -> None:
    many = [issued(feed=Branch(0, length, bytes(32))) for length in range(STATEMENTS_PER_INSTANCE_MAX + 3)]
    kept = merge(reversed(many), [issued(instance_id=THIRD_ID)])
    assert kept == {*many[:STATEMENTS_PER_INSTANCE_MAX], issued(instance_id=THIRD_ID)}


def test_the_shortest_branch_counts_then_the_lower_hash() -> None:
    short = Branch(5, 3, b"\x01" * 32)
    branches = [Branch(0, 4, bytes(32)), short, Branch(0, 3, b"\x02" * 32)]
    for order in itertools.permutations(branches):
        assert effective([issued(feed=branch) for branch in order])[SWAN_ID].feed == short


def test_two_statements_of_one_branch_are_told_apart_alike_everywhere() -> None:
    one, other = issued(upto={EPOCH: 1}), issued(upto={EPOCH: 2})
    assert effective([one, other]) == effective([other, one])


def test_nobody_is_revoked_by_an_empty_set() -> None:
    assert effective(merge()) == {}


# ---- which entries count --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "still"),
    [
        (Held(EPOCH, 10, seq=0), True),
        (Held(EPOCH, 10_000, seq=6), True),
        (Held(EPOCH, 10, seq=7), False),
        (Held(EPOCH, 10), False),
        (Held(EPOCH, 42, rescued_by={THIRD_ID}), True),
        (Held(EPOCH, 43, rescued_by={THIRD_ID}), False),
        (Held(OTHER_EPOCH, 1, rescued_by={THIRD_ID}), False),
        (Held(EPOCH, 42, seq=7, rescued_by={THIRD_ID}), True),
        (Held(EPOCH, 43, seq=6, rescued_by={THIRD_ID}), True),
        (Held(EPOCH, 1, rescued_by={SWAN_ID}), False),
        (Held(EPOCH, 1, rescued_by={GRACKLE_ID}), False),
        (Held(EPOCH, 1, rescued_by={GRACKLE_ID, THIRD_ID}), True),
    ],
    ids=[
        "first of the branch",
        "last of the branch whatever its lamport",
        "past the branch",
        "on another branch",
        "rescued at the bound",
        "rescued past the bound",
        "rescued of an epoch not named",
        "past the branch and rescued",
        "in the branch and rescued late",
        "rescued by itself",
        "rescued by another revoked one",
        "rescued by one trusted and one not",
    ],
)
def test_an_entry_counts_in_the_branch_or_rescued_in_time(held: Held, still: bool) -> None:
    assert counts(held, a_revocation(), revoked={SWAN_ID, GRACKLE_ID}) is still


def test_a_revoked_machine_rescues_nothing_of_its_own_whoever_else_is_revoked() -> None:
    assert not counts(Held(EPOCH, 1, rescued_by={SWAN_ID}), a_revocation(), revoked=())


def test_with_no_length_nothing_of_the_feed_counts() -> None:
    nothing = a_revocation(feed=Branch(0, 0, bytes(32)), upto={})
    assert not counts(Held(EPOCH, 1, seq=0, rescued_by={THIRD_ID}), nothing, revoked={SWAN_ID})

"""The introduction of a peer: only a certified, unrevoked instance that holds this very connection is let in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import pytest

from crow_hooks import Credentials
from crow_plugins.feed.noise import Session
from crow_plugins.identity import signing
from crow_plugins.limits import INTRODUCTION_LISTED_MAX
from crow_plugins.replicator import membership
from crow_plugins.replicator.membership import MembershipMalformed, MembershipNewer, NotAMember, PeerRevoked
from tests.registry.world import CHAIN, OTHER_CHAIN, Machine

GRACKLE, SWAN = Machine("grackle"), Machine("swan")
NOW = int(time.time())
KNOWN = Credentials((SWAN.signed,), (SWAN.revoked(),))


def connection(of: Machine = GRACKLE, hash: bytes = b"\7" * 64) -> Session:
    """The connection as whoever `of` dialled sees it."""
    return Session(b"", b"", handshake_hash=hash, remote_public_key=of.certificate.noise_key)


def said(
    by: Machine = GRACKLE, *, signer: Machine = GRACKLE, initiator: bool = True, hash: bytes = b"\7" * 64
) -> bytes:
    def sign(payload: bytes) -> bytes:
        return signing.sign(signer.device.instance, membership.PURPOSE, by.id, payload)

    return membership.introduction(by.signed, KNOWN, connection(hash=hash), initiator, sign)


def check(introduction: bytes, *, of: Machine = GRACKLE, revoked: frozenset[str] = frozenset()) -> str:
    """Who is let in by it, at the end that was dialled."""
    return membership.check(introduction, connection(of), False, CHAIN.public_key, revoked, NOW).certificate.instance_id


def changed(**fields: object) -> bytes:
    value: Mapping[str, object] = json.loads(said())
    return json.dumps({**value, **fields}, separators=(",", ":"), sort_keys=True).encode()


def test_an_instance_of_the_chain_is_let_in_and_what_it_knows_is_heard() -> None:
    assert check(said()) == GRACKLE.id
    heard = membership.check(said(), connection(), False, CHAIN.public_key, frozenset(), NOW).heard
    assert heard == Credentials((GRACKLE.signed, *KNOWN.certificates), KNOWN.revocations)


def test_a_certificate_of_another_chain_or_past_its_end_is_none() -> None:
    foreign = Machine("grackle", chain=OTHER_CHAIN)
    expired = Machine("grackle", device=GRACKLE.device).with_certificate(not_before=1, expires=2)
    for stranger in (foreign, expired):
        with pytest.raises(NotAMember):
            check(said(stranger, signer=stranger), of=stranger)


@pytest.mark.parametrize(
    "introduction",
    [
        said(signer=SWAN),
        said(initiator=False),
        said(hash=b"\6" * 64),
        changed(signature="00" * 64),
        said(SWAN),
    ],
    ids=["by another key", "our own side, sent back", "of another connection", "no signature", "another's certificate"],
)
def test_a_signature_that_is_not_of_this_side_of_this_connection_is_none(introduction: bytes) -> None:
    with pytest.raises(NotAMember):
        check(introduction)


def test_a_certificate_for_another_connections_key_is_none() -> None:
    """Whoever relays the introduction of a member is not that member."""
    with pytest.raises(NotAMember):
        check(said(), of=SWAN)


def test_who_is_revoked_is_told_so() -> None:
    with pytest.raises(PeerRevoked):
        check(said(), revoked=frozenset({GRACKLE.id}))


@pytest.mark.parametrize(
    "fields",
    [
        {"certificate": 1},
        {"certificates": None},
        {"certificates": [1]},
        {"revocations": {"a": 1}},
        {"revocations": ["x"] * (INTRODUCTION_LISTED_MAX + 1)},
        {"signature": "x"},
        {"more": 1},
        {"v": 0},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_introduction_of_another_shape_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(MembershipMalformed):
        check(changed(**fields))
    with pytest.raises(MembershipNewer):
        check(changed(v=2, **{name: each for name, each in fields.items() if name != "v"}))


def test_lists_are_as_long_as_they_may_be() -> None:
    assert check(changed(certificates=["x"] * INTRODUCTION_LISTED_MAX)) == GRACKLE.id

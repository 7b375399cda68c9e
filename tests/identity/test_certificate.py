"""A certificate is believed when our chain made exactly it and its time is now; everything else has its own refusal."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import certificate
from crow_plugins.identity.certificate import CLOCK_TOLERANCE_SECONDS, NAME_MAX, SIZE_MAX
from crow_plugins.identity.errors import (
    BadName,
    CertificateError,
    CertificateExpired,
    CertificateForeign,
    CertificateForged,
    CertificateMalformed,
    CertificateNewer,
    CertificateNotYetValid,
    CertificateTooLarge,
    DegenerateKey,
    FeedKeyForged,
    IdentityError,
)
from tests.identity.making import (
    BODY,
    CHAIN,
    DEGENERATE_KEYS,
    DEGENERATE_WHY,
    DEVICE,
    GRACKLE,
    NOW,
    OTHER_CHAIN,
    PUBLIC,
    SIGNED,
    SWAN,
    Gone,
    a_certificate,
    body_with,
    issued,
    signed_by,
)

CHAIN_KEY = CHAIN.public_key
KEY_FIELDS = ["chain", "instance_key", "noise_key"]
OTHER_FEED_KEY = SWAN["feed_key"]


def read(body: bytes) -> object:
    """Read what the chain key signed without looking."""
    return certificate.read(signed_by(CHAIN, body), CHAIN_KEY)


# ---- accepted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [SIGNED, SIGNED.decode(), json.loads(SIGNED)], ids=["bytes", "text", "object"])
def test_a_certificate_of_our_chain_is_believed_in_each_form_it_comes_in(signed: Any) -> None:
    assert certificate.verify(signed, CHAIN_KEY, NOW) == a_certificate()


@pytest.mark.parametrize("name", ["x", "🦢" * NAME_MAX, 'a "quoted" \\ name', "Çà et là", "黒い白鳥"])
@pytest.mark.parametrize("role", ["home", "satellite"])
def test_what_was_issued_is_read_back(name: str, role: str) -> None:
    signed = issued(name=name, role=role, serial=2, expires=NOW + 1)
    assert len(signed) <= SIZE_MAX // 2
    assert certificate.read(signed, CHAIN_KEY) == a_certificate(name=name, role=role, serial=2, expires=NOW + 1)


def test_the_fields_may_come_in_any_order_in_an_object() -> None:
    mixed = dict(reversed(json.loads(SIGNED).items()))
    mixed["certificate"] = dict(reversed(json.loads(BODY).items()))
    assert certificate.verify(mixed, CHAIN_KEY, NOW) == a_certificate()


# ---- with the feed key and without ----------------------------------------------------------------


@pytest.mark.parametrize("shown", [PUBLIC, json.loads(PUBLIC)], ids=["bytes", "object"])
def test_without_its_feed_key_it_says_all_the_rest(shown: Any) -> None:
    known = certificate.verify_public(shown, CHAIN_KEY, NOW)
    whole = asdict(a_certificate())
    feed_key = whole.pop("feed_key")
    assert asdict(known) == whole
    assert known.feed_commitment == certificate.commitment(feed_key)


def test_without_its_feed_key_it_does_not_tell_it() -> None:
    key = DEVICE.feed.public_key
    for told in (key, key.hex().encode(), b64encode(key).rstrip(b"=")):
        assert told not in PUBLIC


def test_each_form_is_read_as_what_it_is_only() -> None:
    with pytest.raises(CertificateMalformed, match="feed key"):
        certificate.read(PUBLIC, CHAIN_KEY)
    with pytest.raises(CertificateMalformed):
        certificate.verify_public(SIGNED, CHAIN_KEY, NOW)
    with pytest.raises(CertificateMalformed, match="feed key"):
        certificate.public(PUBLIC)


@pytest.mark.parametrize("key", [OTHER_FEED_KEY, GRACKLE["noise_key"], "00" * 32])
def test_another_feed_key_than_the_certified_one_is_refused(key: str) -> None:
    with pytest.raises(FeedKeyForged, match="certified"):
        certificate.read({**json.loads(SIGNED), "feed_key": key}, CHAIN_KEY)


def test_another_commitment_than_the_certified_one_is_forged() -> None:
    commitment = certificate.commitment(bytes.fromhex(OTHER_FEED_KEY)).hex()
    swapped = {**json.loads(SIGNED), "feed_key": OTHER_FEED_KEY, "certificate": json.loads(body_with())}
    swapped["certificate"]["feed_commitment"] = commitment
    with pytest.raises(CertificateForged):
        certificate.read(swapped, CHAIN_KEY)


@pytest.mark.parametrize("key", ["", "00", GRACKLE["feed_key"].upper(), GRACKLE["feed_key"] + "\n", None, 1])
def test_a_feed_key_of_another_spelling_is_refused(key: object) -> None:
    with pytest.raises(CertificateMalformed):
        certificate.read({**json.loads(SIGNED), "feed_key": key}, CHAIN_KEY)


@pytest.mark.parametrize(
    ("now", "error"), [(NOW - CLOCK_TOLERANCE_SECONDS - 1, CertificateNotYetValid), (NOW + 60, CertificateExpired)]
)
def test_without_its_feed_key_it_has_the_same_time(now: int, error: type[CertificateError]) -> None:
    shown = certificate.public(issued(expires=NOW + 60))
    assert certificate.verify_public(shown, CHAIN_KEY, NOW + 59)
    with pytest.raises(error):
        certificate.verify_public(shown, CHAIN_KEY, now)
    assert certificate.read_public(shown, CHAIN_KEY)


# ---- time -----------------------------------------------------------------------------------------


def test_a_start_is_believed_as_early_as_clocks_may_differ() -> None:
    earliest = NOW - CLOCK_TOLERANCE_SECONDS
    assert certificate.verify(SIGNED, CHAIN_KEY, earliest)
    with pytest.raises(CertificateNotYetValid):
        certificate.verify(SIGNED, CHAIN_KEY, earliest - 1)


def test_an_end_is_exact() -> None:
    signed = issued(expires=NOW + 60)
    assert certificate.verify(signed, CHAIN_KEY, NOW + 59)
    with pytest.raises(CertificateExpired):
        certificate.verify(signed, CHAIN_KEY, NOW + 60)


def test_without_an_end_it_is_valid_for_ever() -> None:
    assert certificate.verify(SIGNED, CHAIN_KEY, NOW + 10**12).expires is None


def test_reading_alone_does_not_ask_the_time() -> None:
    assert certificate.read(issued(expires=NOW + 1), CHAIN_KEY).expires == NOW + 1


# ---- who made it ----------------------------------------------------------------------------------


def test_a_certificate_of_another_identity_is_foreign() -> None:
    with pytest.raises(CertificateForeign):
        certificate.verify(SIGNED, OTHER_CHAIN.public_key, NOW)


def test_another_chain_cannot_certify_for_ours() -> None:
    with pytest.raises(CertificateForged):
        certificate.verify(signed_by(OTHER_CHAIN, BODY), CHAIN_KEY, NOW)


def test_a_machine_cannot_certify_itself() -> None:
    with pytest.raises(CertificateForged):
        certificate.verify(signed_by(DEVICE.instance, BODY), CHAIN_KEY, NOW)


def test_ours_cannot_certify_for_another_chain() -> None:
    foreign = body_with(chain=OTHER_CHAIN.public_key.hex())
    for chain in (CHAIN, OTHER_CHAIN):
        with pytest.raises(CertificateError):
            certificate.verify(signed_by(CHAIN, foreign), chain.public_key, NOW)
    with pytest.raises(CertificateForeign):
        certificate.issue(a_certificate(), OTHER_CHAIN)


def test_a_signature_of_ours_for_another_purpose_is_not_one() -> None:
    bare = {**json.loads(SIGNED), "signature": CHAIN.sign(BODY).hex()}
    with pytest.raises(CertificateForged):
        certificate.verify(bare, CHAIN_KEY, NOW)


# ---- every byte counts ----------------------------------------------------------------------------


def test_no_bit_of_it_can_be_flipped() -> None:
    for place in range(len(SIGNED) * 8):
        flipped = bytearray(SIGNED)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises((CertificateError, DegenerateKey, BadName)):
            certificate.verify(bytes(flipped), CHAIN_KEY, NOW)


def test_no_byte_of_it_can_be_missing_or_doubled() -> None:
    for place in range(len(SIGNED)):
        doubled = SIGNED[:place] + SIGNED[place : place + 1] + SIGNED[place:]
        for changed in (SIGNED[:place], SIGNED[place + 1 :], SIGNED[:place] + SIGNED[place + 1 :], doubled):
            with pytest.raises((CertificateError, DegenerateKey)):
                certificate.verify(changed, CHAIN_KEY, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        SIGNED + b" ",
        b" " + SIGNED,
        SIGNED + b"\n",
        SIGNED.replace(b":", b": ", 1),
        SIGNED[:-2] + b'","x":1}',
        SIGNED.replace(b'"signature"', b'"Signature"'),
        SIGNED[:-130] + SIGNED[-130:].upper(),
        b'{"signature":"' + b"0" * 128 + b'","certificate":{}}',
        b"{}",
        b"",
        b"null",
        b"\xff" * 300,
    ],
)
def test_another_spelling_of_it_is_refused(changed: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        certificate.verify(changed, CHAIN_KEY, NOW)


@pytest.mark.parametrize(
    "signed",
    [
        {},
        {"certificate": json.loads(BODY)},
        {**json.loads(SIGNED), "more": 1},
        {**json.loads(SIGNED), "signature": 1.5},
        {**json.loads(SIGNED), 1: 2},
        {"certificate": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]], "signature": ""},
        '{"certificate":"\ud800',
    ],
)
def test_an_object_or_text_that_is_not_one_is_refused(signed: Any) -> None:
    with pytest.raises(CertificateMalformed):
        certificate.verify(signed, CHAIN_KEY, NOW)


@pytest.mark.parametrize(
    "signed", [b"x" * (SIZE_MAX + 1), "x" * (SIZE_MAX + 1), b"[" * (1 << 24), {"certificate": "x" * SIZE_MAX}]
)
def test_what_is_too_long_is_not_looked_at(signed: Any) -> None:
    with pytest.raises(CertificateTooLarge):
        certificate.verify(signed, CHAIN_KEY, NOW)


def test_at_the_limit_of_length_it_is_still_looked_at() -> None:
    with pytest.raises(CertificateMalformed):
        certificate.verify(b"x" * SIZE_MAX, CHAIN_KEY, NOW)


@given(st.binary(max_size=400))
def test_of_any_bytes_between_the_frames_comes_a_named_refusal(body: bytes) -> None:
    with pytest.raises(IdentityError):
        read(body)


# ---- fields, though rightly signed ----------------------------------------------------------------


@pytest.mark.parametrize("field", sorted(json.loads(BODY)))
def test_a_field_that_is_missing_is_missed(field: str) -> None:
    with pytest.raises(CertificateMalformed):
        read(body_with(**{field: Gone()}))


@pytest.mark.parametrize("field", sorted([*json.loads(BODY), "expires"]))
@pytest.mark.parametrize("value", [None, True, [], {}, "", "x", -1, 0], ids=repr)
def test_a_field_of_another_kind_is_refused(field: str, value: object) -> None:
    if (field, value) == ("name", "x"):
        return
    with pytest.raises((CertificateMalformed, BadName)):
        read(body_with(**{field: value}))


def test_a_field_that_is_unknown_is_refused() -> None:
    with pytest.raises(CertificateMalformed, match="unknown"):
        read(body_with(note="hello"))


def test_a_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(CertificateMalformed):
        read(BODY.replace(b'"serial":1', b'"serial":1,"serial":1'))


@pytest.mark.parametrize(
    "body",
    [
        b" " + BODY,
        BODY.replace(b",", b", "),
        BODY.replace(b"grackle", b"gr\\u0061ckle"),
        BODY.replace(b'"v":1', b'"v":1.0'),
        BODY.replace(b'"serial":1', b'"serial":01'),
        BODY.replace(b'"serial":1', b'"serial":1e0'),
        BODY.replace(b'"serial":1', b'"serial":9007199254740992'),
        BODY[:-1],
        b"[]",
        b"1",
        b"",
        b"[" * 1000,
    ],
)
def test_a_body_that_is_not_canonical_is_refused(body: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        read(body)


def test_a_newer_format_says_to_update() -> None:
    with pytest.raises(CertificateNewer, match="update"):
        read(body_with(v=2, something="new"))


@pytest.mark.parametrize("key", DEGENERATE_KEYS, ids=DEGENERATE_WHY)
def test_no_degenerate_key_enters_a_certificate(key: bytes) -> None:
    for field in KEY_FIELDS:
        with pytest.raises(DegenerateKey):
            read(body_with(**{field: key.hex()}))
        with pytest.raises((DegenerateKey, CertificateForeign)):
            issued(**{field: key})
    with pytest.raises(DegenerateKey):
        issued(feed_key=key)


@pytest.mark.parametrize("field", [*KEY_FIELDS, "feed_commitment"])
@pytest.mark.parametrize("change", ["upper", "short", "long", "newline", "odd"])
def test_a_key_has_one_spelling(field: str, change: str) -> None:
    hex_key = json.loads(BODY)[field]
    changes = {
        "upper": hex_key.upper(),
        "short": hex_key[2:],
        "long": hex_key + "00",
        "newline": hex_key + "\n",
        "odd": hex_key[1:],
    }
    with pytest.raises(CertificateMalformed, match="bytes in hex"):
        read(body_with(**{field: changes[change]}))


@pytest.mark.parametrize("field", ["instance_key", "noise_key"])
@pytest.mark.parametrize("other", KEY_FIELDS)
def test_one_key_cannot_stand_for_two(field: str, other: str) -> None:
    if field != other:
        with pytest.raises(CertificateMalformed, match="two"):
            read(body_with(**{field: json.loads(BODY)[other]}))
    with pytest.raises(CertificateMalformed, match="two"):
        issued(feed_key=bytes.fromhex(json.loads(BODY)[other]))


@pytest.mark.parametrize(
    "spelling",
    [
        "3D8B1A56-9C0F-4F6E-8B7A-2F1E0D9C8B7A",
        "{3d8b1a56-9c0f-4f6e-8b7a-2f1e0d9c8b7a}",
        "urn:uuid:3d8b1a56-9c0f-4f6e-8b7a-2f1e0d9c8b7a",
        "3d8b1a569c0f4f6e8b7a2f1e0d9c8b7a",
        "3d8b1a56-9c0f-4f6e-8b7a-2f1e0d9c8b7",
        "3d8b1a56-9c0f-4f6e-8b7a-2f1e0d9c8b7a ",
        "grackle",
    ],
)
def test_an_instance_id_has_one_spelling(spelling: str) -> None:
    with pytest.raises(CertificateMalformed, match="UUID"):
        read(body_with(instance_id=spelling))


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " a",
        "a ",
        "a\u00a0",
        "x" * (NAME_MAX + 1),
        "a\nb",
        "a\x1b[31m",
        "a\x00",
        "a\u202eb",
        "a\u200bb",
        "\ue000",
    ],
)
def test_a_name_that_a_terminal_would_show_otherwise_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        read(body_with(name=name))
    with pytest.raises(BadName):
        issued(name=name)


@pytest.mark.parametrize("role", ["Home", "home ", "node", "home|satellite"])
def test_there_are_two_roles(role: str) -> None:
    with pytest.raises(CertificateMalformed, match="home or satellite"):
        read(body_with(role=role))


@pytest.mark.parametrize("expires", [NOW, NOW - 1, 1])
def test_an_end_before_the_start_is_refused(expires: int) -> None:
    with pytest.raises(CertificateMalformed, match="before"):
        issued(expires=expires)


@pytest.mark.parametrize("changes", [{"serial": 1.5}, {"serial": 1 << 53}, {"name": "\ud800"}, {"feed_key": b""}])
def test_what_could_not_be_read_is_not_issued(changes: dict[str, object]) -> None:
    with pytest.raises(CertificateMalformed):
        issued(**changes)

"""Who has the code comes in, once and in time; who stands between without it learns nothing and changes nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.identity import canonical_json, certificate, invitation, keys, reading
from crow_plugins.identity.errors import (
    BadName,
    CertificateError,
    CertificateForeign,
    CodeMistyped,
    DegenerateKey,
    IdentityError,
    InvitationError,
    InvitationExpired,
    InvitationUsed,
    JoinMalformed,
    JoinNewer,
    JoinRefused,
    TriesUsedUp,
    WrongAnswer,
    WrongCode,
)
from crow_plugins.identity.invitation import (
    ANSWER_SIZE_MAX,
    CODE_LETTERS,
    LETTERS,
    LIFETIME_SECONDS,
    OFFER_SIZE_MAX,
    REQUEST_SIZE_MAX,
    STATE_SIZE_MAX,
    TRIES,
    Applicant,
    Invitation,
    Joined,
    Joining,
    fingerprint,
)
from crow_plugins.identity.keys import DeviceKeys, KeyPair
from tests.identity.making import CHAIN, DEGENERATE_KEYS, GRACKLE, NOW, OTHER_CHAIN, SIGNED, SWAN, a_certificate

VECTOR = json.loads((Path(__file__).parent / "vectors-joining.json").read_text())["invitation"]
CODE, OTHER_CODE = bytes(range(16)), bytes(range(1, 17))
INVITER_NONCE, JOINER_NONCE, BOX_NONCE = b"\x11" * 32, b"\x22" * 32, b"\x33" * 24
DEVICE = keys.device_keys(bytes.fromhex(SWAN["device_secret"]))
MALLORY = keys.device_keys(b"\x66" * 32)
NEW_ID = SWAN["instance"]["instance_id"]
URL = "http://100.64.0.9:3001"

INVITATION = invitation.invite(CODE, CHAIN.public_key, INVITER_NONCE, NOW)


def asking(
    code: bytes = CODE,
    offer: bytes = INVITATION.offer,
    device: DeviceKeys = DEVICE,
    name: str = "black-swan",
    gateway_url: str | None = URL,
    nonce: bytes = JOINER_NONCE,
) -> Joining:
    return invitation.ask(code, offer, device, name, gateway_url=gateway_url, nonce=nonce, box_nonce=BOX_NONCE)


def certifying(
    request: bytes,
    code: bytes = CODE,
    invited: Invitation = INVITATION,
    chain: KeyPair = CHAIN,
    inviter: bytes = SIGNED,
    instance_id: str = NEW_ID,
) -> bytes:
    certified = invitation.certify(
        code, invited, request, chain, inviter, instance_id=instance_id, now=NOW, box_nonce=BOX_NONCE
    )
    assert certificate.read(certified.signed, chain.public_key) == certified.certificate
    return certified.answer


JOINING = asking()
ANSWER = certifying(JOINING.request)


def changed(message: bytes, **changes: object) -> bytes:
    return canonical_json.encode({**json.loads(message), **changes})


def flipped(message: bytes, place: int) -> bytes:
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


# ---- vectors --------------------------------------------------------------------------------------


def test_the_messages_are_those_of_the_vectors() -> None:
    messages = {
        "code": invitation.spelled(CODE),
        "id": INVITATION.id,
        "offer": INVITATION.offer.decode(),
        "request": JOINING.request.decode(),
        "answer": ANSWER.decode(),
        "fingerprint": fingerprint(INVITATION.offer, JOINING.request),
    }
    assert messages == VECTOR


def hkdf(secret: bytes, label: bytes) -> bytes:
    """The first 32 bytes of HKDF-SHA256 without salt, from its definition."""
    return hmac.digest(hmac.digest(bytes(32), secret, hashlib.sha256), label + b"\x01", hashlib.sha256)


def test_the_offer_of_the_vectors_follows_from_the_standards() -> None:
    fields = json.loads(VECTOR["offer"])
    mac = fields.pop("mac")
    content = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert hmac.digest(hkdf(CODE, b"crow/v1/join/offer\0"), content, hashlib.sha256).hex() == mac
    assert hkdf(CODE, b"crow/v1/join/id\0")[:8].hex() == VECTOR["id"]


# ---- the code -------------------------------------------------------------------------------------


def test_every_code_comes_back_as_it_was_spelled() -> None:
    for _ in range(200):
        code = secrets.token_bytes(16)
        assert invitation.typed(invitation.spelled(code)) == code, code.hex()


def test_a_code_is_seven_groups_of_four_without_lookalikes() -> None:
    groups = invitation.spelled(CODE).split("-")
    assert [len(group) for group in groups] == [4] * 7
    assert not set("ILOU") & set(LETTERS)


@pytest.mark.parametrize("code", [bytes(16), b"\xff" * 16, CODE, bytes.fromhex("00443214c74254b635cf84653a56d7c6")])
def test_case_grouping_and_lookalikes_do_not_matter(code: bytes) -> None:
    spelled = invitation.spelled(code)
    ways = [
        spelled.lower(),
        spelled.replace("-", ""),
        spelled.replace("-", " "),
        f"  {spelled}\n",
        " ".join(spelled),
        spelled.replace("-", "–"),
        spelled.replace("0", "O").replace("1", "I"),
        spelled.replace("0", "o").replace("1", "l"),
    ]
    assert {invitation.typed(way) for way in ways} == {code}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "U" * CODE_LETTERS,
        "é" * CODE_LETTERS,
        "ı" * CODE_LETTERS,
        "٣" * CODE_LETTERS,
        "A" * 10_000,
        invitation.spelled(CODE)[:-1],
        invitation.spelled(CODE) + "0",
        invitation.spelled(CODE) + " " * 1000,
    ],
)
def test_what_is_no_code_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(CodeMistyped) as refused:
        invitation.typed(text)
    assert len(text) < 2 or text not in str(refused.value)


def test_nearly_every_slip_is_found_by_the_checksum() -> None:
    """Twelve bits: of 4096 slips one is not found, and then the code is a wrong one."""
    letters, slips, found = invitation.spelled(CODE).replace("-", ""), 0, 0
    for place in range(CODE_LETTERS):
        for letter in set(LETTERS) - {letters[place]}:
            slips += 1
            with suppress(CodeMistyped):
                assert invitation.typed(letters[:place] + letter + letters[place + 1 :]) != CODE
                found -= 1
            found += 1
    assert slips - found <= 2


# ---- joining --------------------------------------------------------------------------------------


def test_a_machine_with_the_code_comes_into_the_chain() -> None:
    invitation.check_request(INVITATION, JOINING.request, NOW)
    applicant = invitation.open_request(CODE, INVITATION, JOINING.request)
    joined = invitation.finish(JOINING, ANSWER, NOW)
    assert applicant == Applicant(
        "black-swan", DEVICE.instance.public_key, DEVICE.noise.public_key, DEVICE.feed.public_key, URL
    )
    assert (joined.chain, joined.inviter, joined.inviter_signed) == (CHAIN.public_key, a_certificate(), SIGNED)
    assert joined.certificate == certificate.verify(joined.signed, CHAIN.public_key, NOW)
    assert (joined.certificate.instance_id, joined.certificate.name, joined.certificate.role) == (
        NEW_ID,
        "black-swan",
        "satellite",
    )


def test_both_see_the_same_eight_words() -> None:
    words = fingerprint(INVITATION.offer, JOINING.request)
    assert len(words.split()) == 8
    assert words == fingerprint(JOINING.offer, JOINING.request)


def test_the_words_differ_with_every_byte_of_offer_and_request() -> None:
    offer, request = INVITATION.offer, JOINING.request
    seen = {fingerprint(flipped(offer, place), request) for place in range(len(offer))}
    seen |= {fingerprint(offer, flipped(request, place)) for place in range(len(request))}
    assert len(seen) == len(offer) + len(request)
    assert fingerprint(offer, request) not in seen
    assert fingerprint(offer + request[:1], request[1:]) != fingerprint(offer, request)


def test_asking_again_is_answered_again() -> None:
    again = asking(nonce=b"\x44" * 32)
    assert invitation.finish(again, certifying(again.request), NOW) == invitation.finish(JOINING, ANSWER, NOW)


def test_a_machine_without_an_address_may_join() -> None:
    request = asking(gateway_url=None).request
    assert invitation.open_request(CODE, INVITATION, request).gateway_url is None


def test_the_longest_messages_fit() -> None:
    long = asking(name="🦢" * 64, gateway_url="h" * reading.URL_MAX)
    answer = certifying(long.request, inviter=certificate.issue(a_certificate(name="🦢" * 64), CHAIN))
    assert len(INVITATION.offer) <= OFFER_SIZE_MAX
    assert len(long.request) <= REQUEST_SIZE_MAX
    assert len(answer) <= ANSWER_SIZE_MAX
    assert len(long.encoded()) <= STATE_SIZE_MAX
    assert invitation.finish(Joining.decoded(long.encoded()), answer, NOW).certificate.name == "🦢" * 64


@pytest.mark.parametrize("reason", sorted(invitation.REFUSALS))
def test_a_refusal_reaches_the_joiner_with_its_reason(reason: Any) -> None:
    answer = invitation.refuse(CODE, INVITATION, JOINING.request, reason, box_nonce=BOX_NONCE)
    with pytest.raises(JoinRefused, match=invitation.REFUSALS[reason]) as refused:
        invitation.finish(JOINING, answer, NOW)
    assert refused.value.reason == reason


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 65])
def test_a_name_that_no_instance_has_is_refused_before_anything_is_sent(name: str) -> None:
    with pytest.raises(BadName):
        asking(name=name)


@pytest.mark.parametrize("gateway_url", ["", "a b", "ä", "x" * (reading.URL_MAX + 1)])
def test_an_address_of_other_letters_is_refused_before_anything_is_sent(gateway_url: str) -> None:
    with pytest.raises(JoinMalformed, match="address"):
        asking(gateway_url=gateway_url)


# ---- time, tries, one use -------------------------------------------------------------------------


def test_an_invitation_is_open_for_ten_minutes_exactly() -> None:
    INVITATION.check(NOW + LIFETIME_SECONDS - 1)
    for refused in (INVITATION.check, INVITATION.tried):
        with pytest.raises(InvitationExpired):
            refused(NOW + LIFETIME_SECONDS)
    with pytest.raises(InvitationExpired):
        invitation.check_request(INVITATION, JOINING.request, NOW + LIFETIME_SECONDS)


def test_five_may_try() -> None:
    tried = INVITATION
    for _ in range(TRIES):
        tried = tried.tried(NOW)
    with pytest.raises(TriesUsedUp):
        tried.tried(NOW)
    assert tried.spent().used


def test_one_may_join() -> None:
    spent = INVITATION.tried(NOW).spent()
    for refused in (lambda: spent.check(NOW), lambda: spent.tried(NOW), spent.spent):
        with pytest.raises(InvitationUsed):
            refused()


# ---- states that survive their process ------------------------------------------------------------


@pytest.mark.parametrize("state", [INVITATION, INVITATION.tried(NOW).spent(), replace(INVITATION, tries_left=0)])
def test_an_invitation_comes_back_from_its_bytes(state: Invitation) -> None:
    assert Invitation.decoded(state.encoded()) == state


def test_no_code_lies_in_an_invitation_nor_in_any_message() -> None:
    for message in (INVITATION.encoded(), INVITATION.offer, JOINING.request, ANSWER):
        for spelling in (CODE.hex(), invitation.spelled(CODE), invitation.spelled(CODE).replace("-", "")):
            assert spelling.encode() not in message
    assert str(CODE) not in repr(JOINING)


def test_a_joiner_goes_on_after_its_process_ended() -> None:
    again = Joining.decoded(JOINING.encoded())
    assert again == JOINING
    assert isinstance(invitation.finish(again, ANSWER, NOW), Joined)


def test_parts_that_do_not_belong_together_are_no_state() -> None:
    with pytest.raises(WrongCode):
        Joining.decoded(replace(JOINING, code=OTHER_CODE).encoded())


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": "1"},
        {"expires_at": True},
        {"tries_left": 6},
        {"tries_left": -1},
        {"tries_left": False},
        {"used": 1},
        {"used": None},
        {"offer": {}},
        {"offer": 1},
        {"more": 1},
        {"v": 0},
    ],
    ids=str,
)
def test_a_state_that_was_never_written_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(JoinMalformed):
        Invitation.decoded(changed(INVITATION.encoded(), **changes))


# ---- one who stands between -----------------------------------------------------------------------


def test_without_the_code_no_message_can_be_made() -> None:
    theirs = invitation.invite(OTHER_CODE, OTHER_CHAIN.public_key, INVITER_NONCE, NOW)
    with pytest.raises(WrongCode):
        asking(offer=theirs.offer)
    with pytest.raises(WrongCode):
        asking(offer=changed(theirs.offer, invitation=INVITATION.id))
    request = asking(OTHER_CODE, theirs.offer, MALLORY).request
    with pytest.raises(WrongCode):
        invitation.open_request(CODE, INVITATION, request)
    with pytest.raises(WrongCode):
        invitation.open_request(CODE, INVITATION, changed(request, invitation=INVITATION.id))


def test_nothing_of_the_new_machine_can_be_read_without_the_code() -> None:
    for message in (JOINING.request, ANSWER):
        plain = message + bytes.fromhex(json.loads(message)["box"])
        for shown in (b"black-swan", b"swan", URL.encode(), SIGNED):
            assert shown not in plain
        for key in (DEVICE.instance, DEVICE.noise, DEVICE.feed):
            assert key.public_key not in plain
            assert key.public_key.hex().encode() not in plain


@pytest.mark.parametrize("field", ["invitation", "chain", "nonce", "mac"])
def test_no_field_of_an_offer_can_be_replaced(field: str) -> None:
    other = invitation.invite(OTHER_CODE, OTHER_CHAIN.public_key, JOINER_NONCE, NOW)
    with pytest.raises(WrongCode):
        asking(offer=changed(INVITATION.offer, **{field: json.loads(other.offer)[field]}))


@pytest.mark.parametrize("field", ["nonce", "box"])
def test_no_field_of_a_request_can_be_replaced_by_that_of_another(field: str) -> None:
    other = asking(device=MALLORY, nonce=b"\x44" * 32).request
    with pytest.raises(WrongCode):
        invitation.open_request(CODE, INVITATION, changed(JOINING.request, **{field: json.loads(other)[field]}))


def test_a_request_for_one_offer_does_not_serve_for_another_with_the_same_code() -> None:
    again = invitation.invite(CODE, CHAIN.public_key, b"\x55" * 32, NOW)
    with pytest.raises(WrongCode):
        invitation.open_request(CODE, again, JOINING.request)


def test_an_answer_to_one_request_does_not_serve_another() -> None:
    other = asking(nonce=b"\x44" * 32)
    with pytest.raises(WrongCode):
        invitation.finish(other, ANSWER, NOW)


def test_a_request_turned_back_is_no_answer() -> None:
    with pytest.raises(WrongCode):
        invitation.finish(JOINING, canonical_json.encode({"v": 1, "box": json.loads(JOINING.request)["box"]}), NOW)


def test_no_byte_of_any_message_can_be_flipped() -> None:
    for place in range(len(INVITATION.offer)):
        with pytest.raises((InvitationError, DegenerateKey)):
            asking(offer=flipped(INVITATION.offer, place))
    for place in range(len(JOINING.request)):
        with pytest.raises(InvitationError):
            invitation.open_request(CODE, INVITATION, flipped(JOINING.request, place))
    for place in range(len(ANSWER)):
        with pytest.raises(InvitationError):
            invitation.finish(JOINING, flipped(ANSWER, place), NOW)


def test_a_gateway_queues_requests_for_its_invitation_only() -> None:
    with pytest.raises(JoinMalformed, match="another invitation"):
        invitation.check_request(INVITATION, changed(JOINING.request, invitation="00" * 8), NOW)


# ---- one who knows the code, and lies -------------------------------------------------------------


def lying(joining: Joining, content: dict[str, object]) -> bytes:
    """An answer that any who know the code can make."""
    return invitation._answer(CODE, joining.offer, joining.request, content, BOX_NONCE)


def lying_request(**changes: object) -> bytes:
    """A request of any content, by one who knows the code."""
    head = canonical_json.encode({"v": 1, "invitation": INVITATION.id, "nonce": JOINER_NONCE.hex()})
    transcript = invitation._transcript(INVITATION.offer, head)
    key, box = invitation._key(CODE, b"request", transcript), json.loads(JOINING.request)["box"]
    content = {**invitation._opened(key, box, transcript, REQUEST_SIZE_MAX), **changes}
    sealed = invitation._sealed(key, canonical_json.encode(content), transcript, BOX_NONCE)
    return changed(JOINING.request, box=sealed.hex())


@pytest.mark.parametrize("field", ["instance_key", "noise_key", "feed_key", "name", "gateway_url"])
def test_no_keys_are_certified_but_by_the_machine_that_holds_them(field: str) -> None:
    lie = {"name": "mallory", "gateway_url": None}.get(field, MALLORY.feed.public_key.hex())
    with pytest.raises(WrongCode):
        invitation.open_request(CODE, INVITATION, lying_request(**{field: lie}))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "a\nb"}, BadName),
        ({"name": 1}, JoinMalformed),
        ({"gateway_url": "a b"}, JoinMalformed),
        ({"gateway_url": 1}, JoinMalformed),
        ({"more": 1}, JoinMalformed),
        ({"signature": "00"}, JoinMalformed),
        ({"noise_key": None}, JoinMalformed),
        *(({"feed_key": key.hex()}, DegenerateKey) for key in DEGENERATE_KEYS),
    ],
)
def test_a_request_of_another_content_is_refused(changes: dict[str, object], error: type[IdentityError]) -> None:
    with pytest.raises(error):
        invitation.open_request(CODE, INVITATION, lying_request(**changes))


def test_a_machine_whose_three_keys_are_not_three_is_not_certified() -> None:
    one = replace(DEVICE, noise=DEVICE.feed)
    with pytest.raises(CertificateError):
        certifying(asking(device=one).request)


def test_a_certificate_of_another_chain_than_the_offers_is_refused() -> None:
    theirs = certificate.issue(a_certificate(chain=OTHER_CHAIN.public_key), OTHER_CHAIN)
    content = {"certificate": json.loads(theirs), "inviter": json.loads(theirs)}
    with pytest.raises(CertificateForeign):
        invitation.finish(JOINING, lying(JOINING, content), NOW)
    with pytest.raises(CertificateForeign):
        certifying(JOINING.request, chain=OTHER_CHAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mallory"},
        {"role": "home"},
        {"instance_key": MALLORY.instance.public_key},
        {"noise_key": MALLORY.noise.public_key},
        {"feed_key": MALLORY.feed.public_key},
        {"instance_id": GRACKLE["instance"]["instance_id"]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_certificate_that_is_not_what_was_asked_for_is_refused(changes: dict[str, Any]) -> None:
    ours = replace(invitation.finish(JOINING, ANSWER, NOW).certificate, **changes)
    content: dict[str, object] = {
        "certificate": json.loads(certificate.issue(ours, CHAIN)),
        "inviter": json.loads(SIGNED),
    }
    with pytest.raises(WrongAnswer):
        invitation.finish(JOINING, lying(JOINING, content), NOW)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"refused": "because"},
        {"refused": 1},
        {"refused": "declined", "more": 1},
        {"certificate": {}},
        {"certificate": 1, "inviter": {}},
        {"certificate": {}, "inviter": {}, "more": 1},
    ],
    ids=str,
)
def test_an_answer_of_another_content_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(JoinMalformed):
        invitation.finish(JOINING, lying(JOINING, content), NOW)


def test_one_who_overlooked_the_code_cannot_keep_the_words_equal() -> None:
    """With the code it can hold two conversations; the words then differ on the two machines."""
    between = invitation.invite(CODE, OTHER_CHAIN.public_key, INVITER_NONCE, NOW)
    deceived = asking(offer=between.offer)
    forwarded = asking(device=MALLORY)
    assert fingerprint(deceived.offer, deceived.request) != fingerprint(INVITATION.offer, forwarded.request)


# ---- every shape ----------------------------------------------------------------------------------


def read_offer(data: bytes) -> object:
    return asking(offer=data)


def read_request(data: bytes) -> object:
    return invitation.open_request(CODE, INVITATION, data)


def read_answer(data: bytes) -> object:
    return invitation.finish(JOINING, data, NOW)


OTHER_KINDS: list[object] = [None, [], {}, "", "xy", "AB" * 32]
MESSAGES = [
    (INVITATION.offer, read_offer),
    (JOINING.request, read_request),
    (ANSWER, read_answer),
    (INVITATION.encoded(), Invitation.decoded),
    (JOINING.encoded(), Joining.decoded),
]
shapes = pytest.mark.parametrize(
    ("message", "reader"), MESSAGES, ids=["offer", "request", "answer", "invitation", "joining"]
)


@shapes
def test_a_field_that_is_missing_unknown_or_of_another_kind_is_refused(message: bytes, reader: Any) -> None:
    for field in json.loads(message):
        rest = {name: value for name, value in json.loads(message).items() if name != field}
        with pytest.raises(JoinMalformed):
            reader(canonical_json.encode(rest))
        for value in OTHER_KINDS:
            with pytest.raises((JoinMalformed, WrongCode)):
                reader(changed(message, **{field: value}))
    for size in (OFFER_SIZE_MAX, REQUEST_SIZE_MAX, ANSWER_SIZE_MAX, STATE_SIZE_MAX):
        with pytest.raises(JoinMalformed):
            reader(b'"' + b"x" * size + b'"')
    with pytest.raises(JoinMalformed):
        reader(changed(message, more=1))
    with pytest.raises(JoinNewer):
        reader(changed(message, v=2, more=1))


@shapes
@given(data=st.data())
def test_of_any_bytes_comes_a_named_refusal(message: bytes, reader: Any, data: st.DataObject) -> None:
    fields = st.sampled_from(sorted(json.loads(message)))
    values = st.none() | st.integers(-2, 2) | st.text(st.characters(codec="ascii"), max_size=70) | st.lists(st.none())
    some = data.draw(st.binary(max_size=100) | st.dictionaries(fields, values).map(lambda c: changed(message, **c)))
    with suppress(IdentityError):
        reader(some)


@given(st.text(max_size=60) | st.text(st.sampled_from(LETTERS + "oil- "), min_size=24, max_size=36))
def test_of_any_text_comes_a_code_or_the_one_error(text: str) -> None:
    with suppress(CodeMistyped):
        invitation.typed(text)

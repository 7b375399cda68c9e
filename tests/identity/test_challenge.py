"""Two machines that never met know each other as of one chain afterwards; one who only relays, replays or lies gets
nowhere."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box, PrivateKey
from nacl.signing import VerifyKey

from crow_plugins.identity import canonical_json, certificate, challenge, keys, reading, signing
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.challenge import (
    ANSWER_SIZE_MAX,
    HELLO_SIZE_MAX,
    PROOF_SIZE_MAX,
    Exchange,
    Hello,
    OpenExchanges,
    Proved,
    Side,
)
from crow_plugins.identity.errors import (
    BadName,
    CertificateError,
    CertificateExpired,
    CertificateForeign,
    CertificateForged,
    CertificateMalformed,
    CertificateNewer,
    ChallengeUnknown,
    DegenerateKey,
    FeedKeyForged,
    IdentityError,
    ProbeError,
    ProbeForged,
    ProbeMalformed,
    ProbeNewer,
    ProbeOfItself,
    WrongChallenge,
    WrongInstance,
)
from crow_plugins.identity.keys import DeviceKeys, KeyPair
from tests.identity.making import CHAIN, DEGENERATE_KEYS, DEVICE, GRACKLE, NOW, OTHER_CHAIN, SWAN, a_certificate

VECTOR = json.loads((Path(__file__).parent / "vectors-joining.json").read_text())["challenge"]
SWAN_DEVICE = keys.device_keys(bytes.fromhex(SWAN["device_secret"]))
THIEF_DEVICE = keys.device_keys(b"\x66" * 32)
C, D = b"\xcc" * 32, b"\xdd" * 32
E = b"\xee" * 32
CHAIN_KEY = CHAIN.public_key


class Machine:
    """An instance with its keys, and a certificate by some chain."""

    def __init__(self, instance_id: str, name: str, device: DeviceKeys, chain: KeyPair = CHAIN, **more: Any) -> None:
        self.device = device
        self.certificate: Certificate = a_certificate(
            chain=chain.public_key,
            instance_id=instance_id,
            name=name,
            role="satellite",
            instance_key=device.instance.public_key,
            noise_key=device.noise.public_key,
            feed_key=device.feed.public_key,
            **more,
        )
        self.signed = certificate.issue(self.certificate, chain)
        self.shown = certificate.public(self.signed)
        self.chain = chain.public_key
        self.id = instance_id
        self.key = device.instance

    def answer(self, hello: bytes, own_challenge: bytes = D) -> tuple[Exchange, bytes]:
        called = challenge.read_hello(hello, self.id)
        return challenge.answer(called, self.shown, self.chain, self.key, own_challenge)

    def prove(self, exchange: Exchange, side: Side, to: bytes, gateway_url: str | None = None) -> bytes:
        return challenge.prove(exchange, side, self.signed, self.key, to, gateway_url=gateway_url, ephemeral=E)

    def verify(self, proof: bytes, exchange: Exchange, side: Side, now: int = NOW) -> Proved:
        return challenge.verify_proof(proof, exchange, side, self.key, CHAIN_KEY, now)


CALLER = Machine(SWAN["instance"]["instance_id"], "black-swan", SWAN_DEVICE)
CALLEE = Machine(GRACKLE["instance"]["instance_id"], "grackle", DEVICE)
THIEF = Machine("66666666-6666-4666-8666-666666666666", "thief", THIEF_DEVICE, OTHER_CHAIN)

HELLO = challenge.hello(CALLER.id, C)
SENT = Hello(CALLER.id, C)
EXCHANGE, ANSWER = CALLEE.answer(HELLO)
CALLER_PROOF = CALLER.prove(EXCHANGE, "caller", CALLEE.key.public_key, "http://100.64.0.7:3001")
CALLEE_PROOF = CALLEE.prove(EXCHANGE, "callee", CALLER.key.public_key)


SAID: dict[str, Any] = {
    "caller": CALLER.id,
    "caller_challenge": C.hex(),
    "callee_challenge": D.hex(),
    "step": "answer",
}
sides = pytest.mark.parametrize(("side", "reader"), [("caller", CALLEE), ("callee", CALLER)], ids=["caller", "callee"])


def changed(message: bytes, **changes: object) -> bytes:
    return canonical_json.encode({**json.loads(message), **changes})


def verify_answer(data: bytes, sent: Hello = SENT, now: int = NOW) -> Exchange:
    return challenge.verify_answer(data, sent, CHAIN_KEY, now)


def answer_by_hand(shown: bytes, key: KeyPair) -> bytes:
    """An answer with whatever its maker likes to call its certificate, rightly signed by a key."""
    certified = json.loads(shown)
    said = {**SAID, "callee": certified["certificate"]["instance_id"], "certificate": certified}
    signature = signing.sign(key, "probe", said["callee"], canonical_json.encode(said))
    return changed(ANSWER, certificate=certified, signature=signature.hex())


# ---- vectors --------------------------------------------------------------------------------------


def test_the_messages_are_those_of_the_vectors() -> None:
    messages = {
        "hello": HELLO.decode(),
        "answer": ANSWER.decode(),
        "caller_proof": CALLER_PROOF.decode(),
        "callee_proof": CALLEE_PROOF.decode(),
    }
    assert messages == VECTOR


def test_the_answer_of_the_vectors_is_signed_by_the_standard() -> None:
    fields = json.loads(VECTOR["answer"])
    said = {**SAID, "callee": GRACKLE["instance"]["instance_id"], "certificate": fields["certificate"]}
    payload = json.dumps(said, sort_keys=True, separators=(",", ":"))
    message = f"crow/v1/probe\0{GRACKLE['instance']['instance_id']}\0{payload}".encode()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(GRACKLE["instance_key"]))
    key.verify(bytes.fromhex(fields["signature"]), message)


# ---- the whole exchange ---------------------------------------------------------------------------


def test_two_machines_of_a_chain_know_each_other_afterwards() -> None:
    exchange = verify_answer(ANSWER)
    caller = CALLEE.verify(CALLER_PROOF, EXCHANGE, "caller")
    callee = CALLER.verify(CALLEE_PROOF, exchange, "callee")
    assert exchange == EXCHANGE
    assert caller == Proved(CALLER.certificate, CALLER.signed, "http://100.64.0.7:3001")
    assert callee == Proved(CALLEE.certificate, CALLEE.signed, None)


def test_no_feed_key_can_be_read_in_any_message() -> None:
    for machine in (CALLER, CALLEE):
        key = machine.device.feed.public_key
        for message in (HELLO, ANSWER, CALLER_PROOF, CALLEE_PROOF):
            assert key.hex().encode() not in message
            assert key not in bytes.fromhex(json.loads(message).get("box", ""))


def test_the_longest_messages_fit() -> None:
    long = Machine(CALLER.id, "🦢" * 64, SWAN_DEVICE, expires=2**53 - 1, serial=2**53 - 1)
    exchange, answer = long.answer(challenge.hello(CALLEE.id, C))
    proof = long.prove(exchange, "callee", CALLEE.key.public_key, "h" * reading.URL_MAX)
    assert len(answer) <= ANSWER_SIZE_MAX // 2
    assert len(proof) <= PROOF_SIZE_MAX // 2
    assert CALLEE.verify(proof, exchange, "callee").certificate == long.certificate


def test_a_known_instance_is_probed_by_its_answer_alone() -> None:
    challenge.check_same(EXCHANGE.callee, CALLEE.certificate)
    renamed = replace(CALLEE.certificate, name="renamed", serial=2)
    challenge.check_same(EXCHANGE.callee, renamed)
    other = CALLER.device
    for change in (
        {"instance_key": other.instance.public_key},
        {"noise_key": other.noise.public_key},
        {"feed_key": other.feed.public_key},
        {"instance_id": CALLER.id},
    ):
        with pytest.raises(WrongInstance):
            challenge.check_same(EXCHANGE.callee, replace(CALLEE.certificate, **change))


# ---- answers that are refused ---------------------------------------------------------------------


def test_an_answer_to_another_challenge_is_refused() -> None:
    with pytest.raises(WrongChallenge):
        verify_answer(ANSWER, Hello(CALLER.id, D))


def test_an_old_answer_with_the_new_challenge_written_in_is_forged() -> None:
    with pytest.raises(ProbeForged):
        verify_answer(changed(ANSWER, echo="ab" * 32), Hello(CALLER.id, b"\xab" * 32))


def test_an_answer_for_another_caller_is_forged() -> None:
    with pytest.raises(ProbeForged):
        verify_answer(ANSWER, Hello(THIEF.id, C))


def test_a_machine_of_another_chain_is_foreign() -> None:
    with pytest.raises(CertificateForeign):
        verify_answer(THIEF.answer(HELLO)[1])


def test_nobody_registers_itself() -> None:
    with pytest.raises(ProbeOfItself):
        challenge.read_hello(HELLO, CALLER.id)
    with pytest.raises(ProbeOfItself):
        verify_answer(ANSWER, Hello(CALLEE.id, C))


def test_a_certificate_is_shown_by_anybody_and_proved_by_its_key() -> None:
    _, answer = challenge.answer(SENT, CALLEE.shown, CHAIN_KEY, THIEF.key, D)
    with pytest.raises(ProbeForged):
        verify_answer(answer)


def test_a_liar_that_knows_the_chains_public_key_is_found_out_by_its_answer() -> None:
    """Whoever knows the chain's public key can claim it; only the chain can certify. Nothing was said to it yet."""
    claimed = json.loads(THIEF.shown)
    claimed["certificate"]["chain"] = CHAIN_KEY.hex()
    with pytest.raises(CertificateForged):
        verify_answer(answer_by_hand(canonical_json.encode(claimed), THIEF.key))


def test_an_answer_with_a_feed_key_in_it_is_not_one() -> None:
    with pytest.raises(CertificateMalformed):
        verify_answer(answer_by_hand(CALLEE.signed, CALLEE.key))


@pytest.mark.parametrize("field", sorted(json.loads(CALLEE.shown)["certificate"]))
def test_no_field_of_the_certificate_in_an_answer_can_be_replaced(field: str) -> None:
    other = json.loads(Machine(THIEF.id, "x", THIEF_DEVICE, serial=2, not_before=NOW - 1).shown)["certificate"]
    other |= {"role": "home", "v": 2, "chain": OTHER_CHAIN.public_key.hex()}
    shown = json.loads(CALLEE.shown)
    shown["certificate"][field] = other[field]
    with pytest.raises((CertificateForged, CertificateForeign, CertificateNewer)):
        verify_answer(answer_by_hand(canonical_json.encode(shown), CALLEE.key))


def test_an_answer_by_an_expired_certificate_is_refused() -> None:
    _, answer = Machine(CALLEE.id, "grackle", DEVICE, expires=NOW + 60).answer(HELLO)
    assert verify_answer(answer, now=NOW + 59)
    with pytest.raises(CertificateExpired):
        verify_answer(answer, now=NOW + 60)


# ---- proofs that are refused ----------------------------------------------------------------------


def test_another_machines_certificate_proves_nothing_without_its_key() -> None:
    proof = challenge.prove(
        EXCHANGE, "caller", CALLER.signed, THIEF.key, CALLEE.key.public_key, gateway_url=None, ephemeral=E
    )
    with pytest.raises(ProbeForged):
        CALLEE.verify(proof, EXCHANGE, "caller")


def test_a_self_made_certificate_is_forged() -> None:
    body = json.loads(THIEF.signed)
    body["certificate"] = {**body["certificate"], "chain": CHAIN_KEY.hex(), "instance_id": CALLER.id}
    proof = challenge.prove(
        EXCHANGE,
        "caller",
        canonical_json.encode(body),
        THIEF.key,
        CALLEE.key.public_key,
        gateway_url=None,
        ephemeral=E,
    )
    with pytest.raises(CertificateForged):
        CALLEE.verify(proof, EXCHANGE, "caller")


def test_an_expired_certificate_is_refused() -> None:
    old = Machine(CALLER.id, "black-swan", SWAN_DEVICE, expires=NOW + 60)
    proof = old.prove(EXCHANGE, "caller", CALLEE.key.public_key)
    assert CALLEE.verify(proof, EXCHANGE, "caller", NOW + 59)
    with pytest.raises(CertificateExpired):
        CALLEE.verify(proof, EXCHANGE, "caller", NOW + 60)


@sides
def test_a_member_cannot_prove_for_another_member(side: Side, reader: Machine) -> None:
    third = Machine(THIEF.id, "third", THIEF_DEVICE)
    proof = challenge.prove(
        EXCHANGE, side, third.signed, third.key, reader.key.public_key, gateway_url=None, ephemeral=E
    )
    with pytest.raises(WrongInstance):
        reader.verify(proof, EXCHANGE, side)


def test_a_callee_that_has_other_keys_in_its_second_message_is_refused() -> None:
    other = Machine(CALLEE.id, "grackle", THIEF_DEVICE)
    with pytest.raises(WrongInstance):
        CALLER.verify(other.prove(EXCHANGE, "callee", CALLER.key.public_key), EXCHANGE, "callee")


@sides
def test_a_proof_with_another_feed_key_or_none_is_refused(side: Side, reader: Machine) -> None:
    mine = CALLER if side == "caller" else CALLEE
    for changes, error in (
        ({"feed_key": THIEF_DEVICE.feed.public_key.hex()}, FeedKeyForged),
        ({}, CertificateMalformed),
    ):
        shown = canonical_json.encode({**json.loads(mine.shown), **changes})
        proof = challenge.prove(EXCHANGE, side, shown, mine.key, reader.key.public_key, gateway_url=None, ephemeral=E)
        with pytest.raises(error):
            reader.verify(proof, EXCHANGE, side)


@sides
def test_a_proof_is_not_to_be_read_by_one_in_between(side: Side, reader: Machine) -> None:
    proof = CALLER_PROOF if side == "caller" else CALLEE_PROOF
    assert reader.verify(proof, EXCHANGE, side)
    with pytest.raises(ProbeForged):
        THIEF.verify(proof, EXCHANGE, side)


def test_a_proof_cannot_be_passed_on_to_another_instance() -> None:
    """A caller that proves itself to a thief who is of our chain has proved nothing to others."""
    thief = Machine(THIEF.id, "stolen", THIEF_DEVICE)
    to_thief, _ = thief.answer(HELLO)
    proof = CALLER.prove(to_thief, "caller", thief.key.public_key)
    opened = thief.verify(proof, to_thief, "caller")
    again = challenge.prove(
        EXCHANGE, "caller", opened.signed, thief.key, CALLEE.key.public_key, gateway_url=None, ephemeral=E
    )
    with pytest.raises(ProbeForged):
        CALLEE.verify(again, EXCHANGE, "caller")


@pytest.mark.parametrize("other", [b"\x01" * 32, C])
def test_a_proof_of_an_earlier_exchange_is_refused(other: bytes) -> None:
    later, _ = CALLEE.answer(HELLO, other)
    with pytest.raises(WrongChallenge):
        CALLEE.verify(CALLER_PROOF, later, "caller")
    with pytest.raises(ProbeForged):
        CALLEE.verify(changed(CALLER_PROOF, echo=other.hex()), later, "caller")


def test_a_proof_does_not_serve_in_the_other_direction() -> None:
    mirrored = replace(EXCHANGE, challenge=C)  # so that only the step tells them apart
    proof = CALLER.prove(mirrored, "caller", CALLER.key.public_key)
    with pytest.raises((WrongInstance, ProbeForged)):
        CALLER.verify(proof, mirrored, "callee")


def test_a_low_order_ephemeral_key_opens_nothing() -> None:
    for key in DEGENERATE_KEYS:
        with pytest.raises(ProbeForged):
            CALLEE.verify(changed(CALLER_PROOF, ephemeral=key.hex()), EXCHANGE, "caller")


@pytest.mark.parametrize("gateway_url", ["", "a b", "http://\n", "ä", "x" * (reading.URL_MAX + 1)])
def test_an_address_of_other_letters_is_refused(gateway_url: str) -> None:
    proof = CALLER.prove(EXCHANGE, "caller", CALLEE.key.public_key, gateway_url)
    with pytest.raises(ProbeMalformed, match="address"):
        CALLEE.verify(proof, EXCHANGE, "caller")


# ---- every byte, every shape ----------------------------------------------------------------------


def test_no_byte_of_a_message_can_be_flipped() -> None:
    for place in range(len(ANSWER)):
        with pytest.raises((ProbeError, CertificateError, DegenerateKey, BadName)):
            verify_answer(flipped(ANSWER, place))
    for place in range(len(CALLER_PROOF)):
        with pytest.raises(ProbeError):
            CALLEE.verify(flipped(CALLER_PROOF, place), EXCHANGE, "caller")
    for place in range(len(CALLEE_PROOF)):
        with pytest.raises(ProbeError):
            CALLER.verify(flipped(CALLEE_PROOF, place), EXCHANGE, "callee")


def flipped(message: bytes, place: int) -> bytes:
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


def test_a_hello_with_a_flipped_byte_is_refused_or_asks_for_another_exchange() -> None:
    for place in range(len(HELLO)):
        with suppress(ProbeError):
            _, answer = CALLEE.answer(flipped(HELLO, place))
            with pytest.raises((WrongChallenge, ProbeForged)):
                verify_answer(answer)


def read_hello(data: bytes) -> object:
    return challenge.read_hello(data, CALLEE.id)


def verify_proof(data: bytes) -> object:
    return CALLEE.verify(data, EXCHANGE, "caller")


OTHER_KINDS: list[object] = [None, True, 0, -1, [], {}, "", "xy", "AB" * 32]
MESSAGES = [(HELLO, read_hello), (ANSWER, verify_answer), (CALLER_PROOF, verify_proof)]
shapes = pytest.mark.parametrize(("message", "reader"), MESSAGES, ids=["hello", "answer", "proof"])


@shapes
def test_a_field_that_is_missing_unknown_or_of_another_kind_is_refused(message: bytes, reader: Any) -> None:
    for field in json.loads(message):
        rest = {name: value for name, value in json.loads(message).items() if name != field}
        with pytest.raises(ProbeMalformed):
            reader(canonical_json.encode(rest))
        for value in OTHER_KINDS:
            with pytest.raises((ProbeMalformed, ProbeForged, CertificateMalformed)):
                reader(changed(message, **{field: value}))
    with pytest.raises(ProbeMalformed):
        reader(changed(message, more=1))
    with pytest.raises(ProbeNewer):
        reader(changed(message, v=2, more=1))


@shapes
def test_a_message_has_one_spelling(message: bytes, reader: Any) -> None:
    for spelling in (message + b" ", json.dumps(json.loads(message)).encode(), message.replace(b'"v"', b'"\\u0076"')):
        with pytest.raises(ProbeMalformed):
            reader(spelling)


def test_an_instance_id_has_one_spelling() -> None:
    known = json.loads(HELLO)["instance_id"]
    for spelling in (known.upper(), known.replace("-", ""), f"{{{known}}}"):
        with pytest.raises(ProbeMalformed):
            read_hello(changed(HELLO, instance_id=spelling))


@pytest.mark.parametrize(
    "content", [{}, {"certificate": {}, "gateway_url": None}, {"certificate": 1, "gateway_url": None, "signature": ""}]
)
def test_a_box_of_another_shape_is_refused(content: dict[str, object]) -> None:
    sealed = sealed_by_hand(canonical_json.encode(content))
    with pytest.raises(ProbeMalformed):
        CALLEE.verify(sealed, EXCHANGE, "caller")


def sealed_by_hand(content: bytes) -> bytes:
    secret = PrivateKey(E)
    nonce = challenge._nonce(bytes(secret.public_key), CALLEE.key.public_key)
    box = Box(secret, VerifyKey(CALLEE.key.public_key).to_curve25519_public_key()).encrypt(content, nonce).ciphertext
    return changed(CALLER_PROOF, box=box.hex())


@shapes
@given(data=st.data())
def test_of_any_bytes_comes_a_named_refusal(message: bytes, reader: Any, data: st.DataObject) -> None:
    fields = st.sampled_from(sorted(json.loads(message)))
    values = st.none() | st.integers(-2, 2) | st.text(st.characters(codec="ascii"), max_size=70) | st.lists(st.none())
    some = data.draw(st.binary(max_size=100) | st.dictionaries(fields, values).map(lambda c: changed(message, **c)))
    if some != message:
        with suppress(IdentityError):
            reader(some)


@pytest.mark.parametrize(
    ("reader", "size_max"),
    [(read_hello, HELLO_SIZE_MAX), (verify_answer, ANSWER_SIZE_MAX), (verify_proof, PROOF_SIZE_MAX)],
)
def test_a_message_that_is_too_long_is_not_looked_at(reader: Any, size_max: int) -> None:
    with pytest.raises(ProbeMalformed, match="too long"):
        reader(b'"' + b"x" * size_max + b'"')


# ---- open exchanges -------------------------------------------------------------------------------


def test_an_exchange_is_good_for_one_proof() -> None:
    opened = OpenExchanges()
    opened.add(EXCHANGE)
    assert opened.take(CALLER_PROOF) == EXCHANGE
    with pytest.raises(ChallengeUnknown):
        opened.take(CALLER_PROOF)


def test_a_proof_for_a_challenge_never_made_is_refused() -> None:
    with pytest.raises(ChallengeUnknown):
        OpenExchanges().take(CALLER_PROOF)
    with pytest.raises(ProbeMalformed):
        OpenExchanges().take(b"{}")


def test_of_too_many_exchanges_the_oldest_gives_way() -> None:
    opened = OpenExchanges(count_max=2)
    for number in range(3):
        opened.add(CALLEE.answer(HELLO, bytes([number]) * 32)[0])
    with pytest.raises(ChallengeUnknown):
        opened.take(changed(CALLER_PROOF, echo="00" * 32))
    for number in (1, 2):
        kept = opened.take(changed(CALLER_PROOF, echo=f"{number:02x}" * 32))
        assert kept.challenge == bytes([number]) * 32

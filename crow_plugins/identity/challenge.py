"""The signed challenge: two machines that never met show each other that they are of one chain.

    caller                                              callee
    hello   {"v":1,"challenge":C,"instance_id":I}   →
                                                    ←   answer  {"v":1,"echo":C,"challenge":D,
                                                                 "certificate":{…},"signature":S}
    proof   {"v":1,"echo":D,"ephemeral":E,"box":B}  →
                                                    ←   proof   {"v":1,"echo":C,"ephemeral":E,"box":B}

    in a box: {"certificate":{…},"gateway_url":text or null,"signature":S}

Everything is canonical JSON; challenges are 32 random bytes of one use, bytes stand in hex. Each signature is by the
sender's instance key, for the purpose `probe`, over canonical JSON that names the step, both ids, both challenges and
what is said. So nothing that a peer chose is signed as it came, and no message can be used at another step, in another
exchange, between other machines or in the other direction.

Who learns what. The callee proves itself first, to anybody: its certificate in the answer has no feed key, by which a
feed could be asked for. What answers at an address and holds no instance key of our chain has learned an id and a
random number, and the caller goes. Only to one that has proved itself does the caller say more, and the callee gives
its feed key only for the caller's. These certificates, with their feed keys, are sealed to the other's instance key, so
one who stands between, relaying every message unchanged, learns nothing more. The answer alone is enough to probe an
instance that is known.

Whether an instance was revoked, and whether an address may be called at all, is not known here.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey

from crow_plugins.identity import canonical_json, certificate, signing
from crow_plugins.identity.certificate import Certificate, PublicCertificate
from crow_plugins.identity.errors import (
    BadSignature,
    ChallengeUnknown,
    ProbeForged,
    ProbeMalformed,
    ProbeNewer,
    ProbeOfItself,
    WrongChallenge,
    WrongInstance,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair
from crow_plugins.identity.reading import Reader

VERSION = 1
PURPOSE = "probe"
BOX_LABEL = b"crow/v1/probe-box\0"
CHALLENGE_BYTES = 32
HELLO_SIZE_MAX = 256
ANSWER_SIZE_MAX = 2560  # twice the longest: a certificate without its feed key
PROOF_SIZE_MAX = 9216  # twice the longest: a certificate and an address, in hex
OPEN_MAX = 256  # strangers can open exchanges; the oldest gives way

Side = Literal["caller", "callee"]

_READ = Reader(VERSION, ProbeMalformed, ProbeNewer)


@dataclass(frozen=True, slots=True)
class Hello:
    """A caller's challenge, and who it says it is."""

    instance_id: str
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A hello and its answer: what the proofs of both sides are about, and who the callee has shown to be."""

    hello: Hello
    callee: PublicCertificate
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Proved:
    """A machine of our chain: its certificate, as read and as it came, and where it says it can be called."""

    certificate: Certificate
    signed: bytes
    gateway_url: str | None


class OpenExchanges:
    """The exchanges that a callee still expects the proof of, each good for one."""

    def __init__(self, count_max: int = OPEN_MAX) -> None:
        self._count_max = count_max
        self._open: OrderedDict[bytes, Exchange] = OrderedDict()

    def add(self, exchange: Exchange) -> None:
        self._open[exchange.challenge] = exchange
        if len(self._open) > self._count_max:
            self._open.popitem(last=False)

    def take(self, proof: bytes) -> Exchange:
        """The exchange that a caller's proof belongs to, never to be had again.

        Raises `ProbeMalformed`, `ProbeNewer`, `ChallengeUnknown`.
        """
        exchange = self._open.pop(_echo(_READ.message(proof, PROOF_SIZE_MAX, _PROOF_FIELDS)), None)
        if exchange is None:
            raise ChallengeUnknown
        return exchange


def hello(instance_id: str, challenge: bytes) -> bytes:
    """The first message, with 32 random bytes that are never sent again."""
    return _READ.encoded({"challenge": challenge.hex(), "instance_id": instance_id})


def read_hello(data: bytes, own_id: str) -> Hello:
    """What a caller sent. Raises `ProbeMalformed`, `ProbeNewer`, `ProbeOfItself`."""
    fields = _READ.message(data, HELLO_SIZE_MAX, {"v", "challenge", "instance_id"})
    caller = _READ.instance_id(fields["instance_id"])
    if caller == own_id:
        raise ProbeOfItself
    return Hello(caller, _READ.hex(fields["challenge"], CHALLENGE_BYTES, "challenge"))


def answer(
    called: Hello, shown: bytes, chain_public_key: bytes, key: KeyPair, challenge: bytes
) -> tuple[Exchange, bytes]:
    """The callee's answer to anybody, with 32 random bytes of its own; keep the exchange for the proof.

    `shown` is the callee's own certificate, without its feed key (`certificate.public`).
    """
    own = certificate.read_public(shown, chain_public_key)
    exchange = Exchange(called, own, challenge)
    said = {"certificate": canonical_json.parse(shown)}
    signature = signing.sign(key, PURPOSE, own.instance_id, _payload(exchange, "answer", said))
    echo = {"echo": called.challenge.hex(), "challenge": challenge.hex()}
    return exchange, _READ.encoded({**echo, **said, "signature": signature.hex()})


def verify_answer(data: bytes, sent: Hello, chain_public_key: bytes, now: int) -> Exchange:
    """Who the callee is: an instance of our chain, which holds its key now; `now` in unix seconds.

    Raises `ProbeMalformed`, `ProbeNewer`, `WrongChallenge`, `ProbeOfItself`, `ProbeForged`, and what
    `certificate.verify_public` does.
    """
    fields = _READ.message(data, ANSWER_SIZE_MAX, {"v", "echo", "challenge", "certificate", "signature"})
    if _echo(fields) != sent.challenge:
        raise WrongChallenge
    shown = _READ.fields(fields["certificate"])
    callee = certificate.verify_public(shown, chain_public_key, now)
    if callee.instance_id == sent.instance_id:
        raise ProbeOfItself
    exchange = Exchange(sent, callee, _READ.hex(fields["challenge"], CHALLENGE_BYTES, "challenge"))
    payload = _payload(exchange, "answer", {"certificate": shown})
    _check(callee.instance_key, callee.instance_id, payload, fields["signature"])
    return exchange


def prove(
    exchange: Exchange,
    side: Side,
    signed: bytes,
    key: KeyPair,
    to: bytes,
    *,
    gateway_url: str | None,
    ephemeral: bytes,
) -> bytes:
    """One side's proof: its certificate `signed` and its address, readable by the owner of the instance key `to` only.

    The caller's goes to `exchange.callee.instance_key`, the callee's to the key of the caller's certificate.
    `ephemeral` is 32 random bytes, never used again.
    """
    shown: dict[str, object] = {"certificate": canonical_json.parse(signed), "gateway_url": gateway_url}
    signature = signing.sign(key, PURPOSE, _id_of(exchange, side), _proof_payload(exchange, side, shown))
    content = canonical_json.encode({**shown, "signature": signature.hex()})
    secret = PrivateKey(ephemeral)
    public = bytes(secret.public_key)
    box = Box(secret, VerifyKey(to).to_curve25519_public_key()).encrypt(content, _nonce(public, to)).ciphertext
    echo = exchange.challenge if side == "caller" else exchange.hello.challenge
    return _READ.encoded({"echo": echo.hex(), "ephemeral": public.hex(), "box": box.hex()})


def verify_proof(
    data: bytes, exchange: Exchange, side: Side, key: KeyPair, chain_public_key: bytes, now: int
) -> Proved:
    """Who is on that `side` of the exchange; `key` is our own instance key, `now` unix seconds.

    Raises `ProbeMalformed`, `ProbeNewer`, `WrongChallenge`, `ProbeForged`, `WrongInstance`, and what
    `certificate.verify` does.
    """
    fields = _READ.message(data, PROOF_SIZE_MAX, _PROOF_FIELDS)
    if _echo(fields) != (exchange.challenge if side == "caller" else exchange.hello.challenge):
        raise WrongChallenge
    shown = _opened(fields, key)
    own = certificate.verify(_READ.fields(shown["certificate"]), chain_public_key, now)
    if own.instance_id != _id_of(exchange, side):
        raise WrongInstance
    if side == "callee":
        check_same(exchange.callee, own)
    signature = shown.pop("signature")
    _check(own.instance_key, own.instance_id, _proof_payload(exchange, side, shown), signature)
    return Proved(own, canonical_json.encode(shown["certificate"]), _READ.url(shown["gateway_url"]))


def check_same(shown: PublicCertificate, known: PublicCertificate) -> None:
    """Refuse another machine, or another certificate's keys, than is known. Raises `WrongInstance`."""
    if _keys_of(shown) != _keys_of(known):
        raise WrongInstance


_PROOF_FIELDS = {"v", "echo", "ephemeral", "box"}


def _id_of(exchange: Exchange, side: Side) -> str:
    return exchange.hello.instance_id if side == "caller" else exchange.callee.instance_id


def _proof_payload(exchange: Exchange, side: Side, shown: Mapping[str, object]) -> bytes:
    return _payload(exchange, f"proof of {side}", shown)


def _payload(exchange: Exchange, step: str, said: Mapping[str, object]) -> bytes:
    return canonical_json.encode(
        {
            "step": step,
            "caller": exchange.hello.instance_id,
            "callee": exchange.callee.instance_id,
            "caller_challenge": exchange.hello.challenge.hex(),
            "callee_challenge": exchange.challenge.hex(),
            **said,
        }
    )


def _check(key: bytes, signer: str, payload: bytes, signature: object) -> None:
    try:
        signing.verify(key, PURPOSE, signer, payload, _READ.hex(signature, SIGNATURE_BYTES, "signature"))
    except BadSignature as error:
        raise ProbeForged from error


def _opened(fields: Mapping[str, object], key: KeyPair) -> dict[str, object]:
    """The content of a box that was sealed to our instance key."""
    ephemeral = _READ.hex(fields["ephemeral"], PUBLIC_KEY_BYTES, "ephemeral key")
    secret = SigningKey(key.seed).to_curve25519_private_key()
    try:
        content = Box(secret, PublicKey(ephemeral)).decrypt(
            _READ.hex(fields["box"], None, "box"), _nonce(ephemeral, key.public_key)
        )
    except CryptoError as error:
        raise ProbeForged from error
    shown = _READ.fields(_READ.parsed(content, PROOF_SIZE_MAX))
    if shown.keys() != {"certificate", "gateway_url", "signature"}:
        raise ProbeMalformed("a field of its box is missing or unknown")
    return shown


def _nonce(ephemeral: bytes, to: bytes) -> bytes:
    # The key is of one use, so any nonce would do; this one ties the box to both of its keys, as a sealed box does.
    return hashlib.blake2b(BOX_LABEL + ephemeral + to, digest_size=Box.NONCE_SIZE).digest()


def _keys_of(shown: PublicCertificate) -> tuple[str, bytes, bytes, bytes]:
    return shown.instance_id, shown.instance_key, shown.noise_key, shown.feed_commitment


def _echo(fields: Mapping[str, object]) -> bytes:
    return _READ.hex(fields["echo"], CHALLENGE_BYTES, "echo")

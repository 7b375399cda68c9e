"""The signed challenge: two machines that never met show each other that they are of one chain.

    caller                                              callee
    hello   {"v":1,"challenge":C,"instance_id":I}   →
                                                    ←   answer  {"v":1,"echo":C,"challenge":D,
                                                                 "statement":{chain, instance_id, name, role,
                                                                              instance_key},"signature":S}
    proof   {"v":1,"echo":D,"ephemeral":E,"box":B}  →
                                                    ←   proof   {"v":1,"echo":C,"ephemeral":E,"box":B}

    in a box: {"certificate":{…,…},"gateway_url":text or null,"signature":S}

Everything is canonical JSON; challenges are 32 random bytes of one use, bytes stand in hex. Each signature is by the
sender's instance key, for the purpose `probe`, over canonical JSON that names the step, both ids, both challenges and
what is said. So nothing that a peer chose is signed as it came, and no message can be used at another step, in another
exchange, between other machines or in the other direction.

Why two steps. A certificate is signed as a whole and names the feed key, by which a feed can be asked for; a stranger
must not have it. A stranger is therefore given a *statement*: the public part of the certificate, signed by the
instance key it names. It shows that the callee holds this key, and is enough to probe an instance whose certificate
is known (`check_statement`). Of membership it is a claim only, which costs the caller nothing to refuse: another
chain, ourselves, a known id under another key. Membership is shown by the certificates in the proofs; the callee gives
its own only to a caller that has proved itself. Proofs are sealed to the other's instance key, so one who stands
between, relaying every message unchanged, learns no feed key either.

What remains: the caller proves itself first, so a liar at the address it was told to call, who knows our chain's
public key, gets the caller's certificate. Whether an instance was revoked, and whether an address may be called at
all, is not known here.
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

from crow_hooks.types import Role
from crow_plugins.identity import canonical_json, certificate, signing
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.errors import (
    BadSignature,
    CertificateForeign,
    ChallengeUnknown,
    ProbeForged,
    ProbeMalformed,
    ProbeNewer,
    ProbeOfItself,
    WrongChallenge,
    WrongInstance,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair, check_public_key
from crow_plugins.identity.reading import Reader

VERSION = 1
PURPOSE = "probe"
BOX_LABEL = b"crow/v1/probe-box\0"
CHALLENGE_BYTES = 32
HELLO_SIZE_MAX = 256
ANSWER_SIZE_MAX = 2048
PROOF_SIZE_MAX = 8192  # twice the longest: a certificate and an address, in hex
OPEN_MAX = 256  # strangers can open exchanges; the oldest gives way

Side = Literal["caller", "callee"]

_READ = Reader(VERSION, ProbeMalformed, ProbeNewer)


@dataclass(frozen=True, slots=True)
class Hello:
    """A caller's challenge, and who it says it is."""

    instance_id: str
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What an instance tells strangers of itself: a claim, until its certificate says the same."""

    chain: bytes
    instance_id: str
    name: str
    role: Role
    instance_key: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A hello and its answer: what the proofs of both sides are about."""

    hello: Hello
    callee: Statement
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


def answer(called: Hello, own: Certificate, key: KeyPair, challenge: bytes) -> tuple[Exchange, bytes]:
    """The callee's answer to anybody, with 32 random bytes of its own; keep the exchange for the proof."""
    exchange = Exchange(called, statement_of(own), challenge)
    signature = signing.sign(key, PURPOSE, own.instance_id, _answer_payload(exchange))
    fields = {
        "echo": called.challenge.hex(),
        "challenge": challenge.hex(),
        "statement": _statement_fields(exchange.callee),
        "signature": signature.hex(),
    }
    return exchange, _READ.encoded(fields)


def verify_answer(data: bytes, sent: Hello, chain_public_key: bytes) -> Exchange:
    """What the callee says of itself, signed by the key it names, now and for us.

    Raises `ProbeMalformed`, `ProbeNewer`, `DegenerateKey`, `BadName`, `WrongChallenge`, `ProbeOfItself`,
    `CertificateForeign` or `ProbeForged`.
    """
    fields = _READ.message(data, ANSWER_SIZE_MAX, {"v", "echo", "challenge", "statement", "signature"})
    said = _statement(fields["statement"])
    if _echo(fields) != sent.challenge:
        raise WrongChallenge
    if said.instance_id == sent.instance_id:
        raise ProbeOfItself
    if said.chain != chain_public_key:
        raise CertificateForeign
    exchange = Exchange(sent, said, _READ.hex(fields["challenge"], CHALLENGE_BYTES, "challenge"))
    _check(said.instance_key, said.instance_id, _answer_payload(exchange), fields["signature"])
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
        check_statement(exchange.callee, own)
    signature = shown.pop("signature")
    _check(own.instance_key, own.instance_id, _proof_payload(exchange, side, shown), signature)
    return Proved(own, canonical_json.encode(shown["certificate"]), _READ.url(shown["gateway_url"]))


def statement_of(own: Certificate) -> Statement:
    """What a stranger may know of a certificate."""
    return Statement(own.chain, own.instance_id, own.name, own.role, own.instance_key)


def check_statement(said: Statement, known: Certificate) -> None:
    """Hold what an instance said of itself against its certificate. Raises `WrongInstance`."""
    if said != statement_of(known):
        raise WrongInstance


_PROOF_FIELDS = {"v", "echo", "ephemeral", "box"}


def _id_of(exchange: Exchange, side: Side) -> str:
    return exchange.hello.instance_id if side == "caller" else exchange.callee.instance_id


def _answer_payload(exchange: Exchange) -> bytes:
    return _payload(exchange, "answer", {"statement": _statement_fields(exchange.callee)})


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


def _statement_fields(said: Statement) -> dict[str, object]:
    return {
        "chain": said.chain.hex(),
        "instance_id": said.instance_id,
        "name": said.name,
        "role": said.role,
        "instance_key": said.instance_key.hex(),
    }


def _statement(value: object) -> Statement:
    match value:
        case {"chain": chain, "instance_id": instance_id, "name": str(name), "role": role, "instance_key": key, **more}:
            if more or role not in certificate.ROLES:
                raise ProbeMalformed("its statement has a field that is unknown or wrong")
        case _:
            raise ProbeMalformed("a field of its statement is missing or wrong")
    certificate.check_name(name)
    said = Statement(
        _READ.hex(chain, PUBLIC_KEY_BYTES, "chain"),
        _READ.instance_id(instance_id),
        name,
        role,
        _READ.hex(key, PUBLIC_KEY_BYTES, "instance key"),
    )
    check_public_key(said.instance_key, "instance key")
    return said


def _echo(fields: Mapping[str, object]) -> bytes:
    return _READ.hex(fields["echo"], CHALLENGE_BYTES, "echo")

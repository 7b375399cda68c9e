"""Whatever bytes come to a decoder: a value, or an error of ours with a name; and never in more than a moment.

Good messages are damaged at random: cut, doubled, flipped, and mixed with others. `CROW_FUZZ` says how many inputs each
decoder gets.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from crow_hooks import Change, Credentials, CrowError, Version
from crow_plugins import token
from crow_plugins.federation.message import read_message
from crow_plugins.feed import manifest, messages
from crow_plugins.feed.noise import Session
from crow_plugins.feed.proof import BlockRequest, HashRequest, ProofRequest, UpgradeRequest
from crow_plugins.identity import canonical_json, certificate, challenge, revocation
from crow_plugins.outbound import urls
from crow_plugins.replicator import entry, membership
from tests.registry.world import CHAIN, Machine
from tests.token.world import mint

INPUTS, SEED = int(os.environ.get("CROW_FUZZ", "2000")), 20_261_128
SECONDS_MAX = 1.0  # for one input, on a machine that is busy
GRACKLE, SWAN = Machine("grackle"), Machine("swan")
NOW = GRACKLE.certificate.not_before


@dataclass(frozen=True)
class Decoder:
    """What reads, and what it reads well."""

    read: Callable[[bytes], object]
    good: list[bytes]


def entries() -> list[bytes]:
    writer = f"{GRACKLE.id}.0123456789ab"
    change = Change("memory_insert", "memories", "a", {"content": "é", "tags": []}, Version(writer, 9), {}, (), 1)
    written = entry.written(change)
    return [written, entry.rescued(written, SWAN.id, 1)]


def probes() -> tuple[Decoder, Decoder]:
    hello = challenge.hello(GRACKLE.id, b"\1" * 32)
    called = challenge.read_hello(hello, SWAN.id)
    exchange, answer = challenge.answer(
        called, certificate.public(SWAN.signed), CHAIN.public_key, SWAN.device.instance, b"\2" * 32
    )
    proof = challenge.prove(
        exchange,
        "caller",
        GRACKLE.signed,
        GRACKLE.device.instance,
        SWAN.certificate.instance_key,
        gateway_url=None,
        ephemeral=b"\3" * 32,
    )
    return (
        Decoder(lambda data: challenge.verify_answer(data, called, CHAIN.public_key, NOW), [answer, hello]),
        Decoder(
            lambda data: challenge.verify_proof(data, exchange, "caller", SWAN.device.instance, CHAIN.public_key, NOW),
            [proof, answer],
        ),
    )


def introductions() -> Decoder:
    session = Session(b"", b"", b"\7" * 64, GRACKLE.certificate.noise_key)
    known = Credentials((SWAN.signed,), (SWAN.revoked(),))
    good = membership.introduction(GRACKLE.signed, known, session, True, lambda payload: secrets.token_bytes(64))
    return Decoder(lambda data: membership.check(data, session, False, CHAIN.public_key, (), NOW), [good])


def feed_messages() -> Decoder:
    asked: list[messages.FeedMessage] = [
        messages.Request(1, 0, ProofRequest(block=BlockRequest(5, 1), upgrade=UpgradeRequest(0, 9))),
        messages.Request(2, 3, ProofRequest(hash=HashRequest(7, 2), seek=None)),
        messages.Range(drop=False, start=0, length=1 << 30),
        messages.Want(0, 64),
    ]
    numbered = [bytes([number]) + payload for number, payload in map(messages.encode, asked)]
    return Decoder(lambda data: messages.decode(data[0] if data else 0, data[1:]), numbered)


ANSWERS, PROOFS = probes()
DECODERS = {
    "entry": Decoder(entry.read, entries()),
    "token": Decoder(lambda data: token.parts([data]), [f"Bearer {mint()}".encode()]),
    "certificate": Decoder(lambda data: certificate.verify(data, CHAIN.public_key, NOW), [GRACKLE.signed, SWAN.signed]),
    "revocation": Decoder(lambda data: revocation.read(data, CHAIN.public_key), [GRACKLE.revoked(), SWAN.revoked()]),
    "probe answer": ANSWERS,
    "probe proof": PROOFS,
    "introduction": introductions(),
    "canonical JSON": Decoder(canonical_json.parse, [canonical_json.encode({"a": [1, {"b": "é"}], "c": None})]),
    "MCP message": Decoder(read_message, [b'{"method":"tools/call","params":{"name":"t","arguments":{"x":[1.5]}}}']),
    "URL": Decoder(lambda data: urls.parse(data.decode("latin-1")), [b"https://[fd7a::1]:3001/mcp", b"http://a.b:80"]),
    "manifest": Decoder(manifest.decode, [manifest.encode(manifest.default(GRACKLE.certificate.feed_key))]),
    "feed message": feed_messages(),
}


def damaged(chance: random.Random, good: list[bytes]) -> bytes:
    data = bytearray(chance.choice(good))
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        match chance.randrange(6):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at : min(end, at + 64)]
            case 2:
                data[at:end] = chance.randbytes(chance.randrange(9))
            case 3:
                other = chance.choice(good)
                data[at:end] = other[at:end]
            case 4:
                data[at : at + 1] = chance.choice(
                    (b'"', b"[", b"{", b"\\u0000", b"1e999", b"-", b"9" * 30, b"\xff" * 9)
                )
            case _:
                if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
def test_damaged_messages_are_read_or_refused_by_name_and_soon(name: str) -> None:
    decoder, chance = DECODERS[name], random.Random(f"{SEED} {name}")
    print(f"seed {SEED} {name}")
    for _ in range(INPUTS):
        data = damaged(chance, decoder.good)
        begun = time.thread_time()
        try:
            decoder.read(data)
        except CrowError:
            pass
        except Exception as error:
            pytest.fail(f"{data!r}: {type(error).__name__}: {error}")
        assert time.thread_time() - begun < SECONDS_MAX, data


def test_the_messages_that_are_damaged_are_good() -> None:
    for name in ("entry", "token", "certificate", "revocation", "canonical JSON", "MCP message", "URL", "manifest"):
        for good in DECODERS[name].good:
            DECODERS[name].read(good)

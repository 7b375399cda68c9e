"""Identities to test with: the ones of the vectors, and certificates that differ from theirs in what a test says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crow_plugins.identity import canonical_json, certificate, keys, signing
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.keys import KeyPair
from crow_plugins.identity.sealing import MEMORY_MIN, PASSES_MIN, Cost

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())
GRACKLE, SWAN = VECTORS["identities"]
DEGENERATE_KEYS = [bytes.fromhex(case["key"]) for case in VECTORS["degenerate_keys"]]
DEGENERATE_WHY = [case["why"] for case in VECTORS["degenerate_keys"]]

NOW = 1_711_000_000
LEAST_COST = Cost(PASSES_MIN, MEMORY_MIN)  # no test needs to be hard to guess
CHAIN = keys.chain_key(bytes.fromhex(GRACKLE["seed"]))
OTHER_CHAIN = keys.chain_key(bytes.fromhex(SWAN["seed"]))
DEVICE = keys.device_keys(bytes.fromhex(GRACKLE["device_secret"]))
SIGNED: bytes = GRACKLE["certificate"].encode()
BODY = SIGNED[len(b'{"certificate":') : SIGNED.index(b',"feed_key"')]
PUBLIC: bytes = GRACKLE["public_certificate"].encode()


def a_certificate(**changes: Any) -> Certificate:
    """Grackle's, valid from `NOW`, but for the changes."""
    plain = Certificate(
        chain=CHAIN.public_key,
        instance_id=GRACKLE["instance"]["instance_id"],
        name="grackle",
        role="home",
        instance_key=DEVICE.instance.public_key,
        noise_key=DEVICE.noise.public_key,
        feed_key=DEVICE.feed.public_key,
        serial=1,
        not_before=NOW,
    )
    return replace(plain, **changes)


def issued(**changes: Any) -> bytes:
    return certificate.issue(a_certificate(**changes), CHAIN)


def signed_by(chain: KeyPair, body: bytes, feed_key: str = GRACKLE["feed_key"]) -> bytes:
    """What the chain key would have made of any bytes, had it not looked at them."""
    signature = signing.sign(chain, "certificate", chain.public_key.hex(), body)
    tail = f',"feed_key":"{feed_key}","signature":"{signature.hex()}"}}'
    return b'{"certificate":' + body + tail.encode()


@dataclass(frozen=True)
class Gone:
    """A field that is left out."""


def body_with(**changes: object) -> bytes:
    """Grackle's certificate as JSON, with fields changed, added, or `Gone`; no reader has looked at it."""
    fields = {**json.loads(BODY), **changes}
    return canonical_json.encode({name: value for name, value in fields.items() if not isinstance(value, Gone)})

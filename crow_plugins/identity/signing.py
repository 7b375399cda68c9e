"""Signatures say what they are for: a label with a version, whose they are, and then the exact bytes.

Without the label a signature made for one purpose could be presented for another. Label and signer end in a zero
byte, which neither can contain, so no two triples make the same message.
"""

from __future__ import annotations

import re

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from crow_plugins.identity.errors import BadLabel, BadSignature
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair

PREFIX = "crow/v1/"
PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
SIGNER = re.compile(r"[0-9a-f][0-9a-f-]{0,63}", re.ASCII)


def message(purpose: str, signer: str, payload: bytes) -> bytes:
    """The bytes that are signed; `signer` is an instance id, or a public key in hex. Raises `BadLabel`."""
    if not PURPOSE.fullmatch(purpose):
        raise BadLabel("purpose", "1 to 32 small letters, digits or hyphens, a letter first")
    if not SIGNER.fullmatch(signer):
        raise BadLabel("signer", "an instance id or a public key in hex")
    return f"{PREFIX}{purpose}\0{signer}\0".encode() + payload


def sign(key: KeyPair, purpose: str, signer: str, payload: bytes) -> bytes:
    """64 bytes. Raises `BadLabel`."""
    return key.sign(message(purpose, signer, payload))


def verify(public_key: bytes, purpose: str, signer: str, payload: bytes, signature: bytes) -> None:
    """Return if the signature is good. Raises `BadSignature`, `BadLabel`.

    The key is one that was checked when it came (`keys.check_public_key`); here small-order keys are refused once more.
    """
    signed = message(purpose, signer, payload)
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        raise BadSignature(purpose)
    try:
        VerifyKey(public_key).verify(signed, signature)
    except BadSignatureError as error:
        raise BadSignature(purpose) from error
